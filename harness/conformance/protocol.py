"""Checks of the HTTP protocol."""

from __future__ import annotations

import socket
from contextlib import suppress
from http.client import HTTPException
from typing import Any

from systems.serverful.http import served_models

from ..replay.target import Target
from .check import NotConformingError, Subject, check, require
from .talk import Reply, complete, sending, stream_body

_STREAMED = 24
_UNKNOWN = "no.such.function"
_BAD: dict[str, bytes] = {
    "the body {, which is not JSON": b"{",
    "the body {}": b"{}",
    "the body []": b"[]",
}


def _ok(reply: Reply, what: str) -> Reply:
    require(reply.status == 200, f"{what}: HTTP {reply.status}, 200 would be right")
    require(reply.answer.error is None, f"{what}: {reply.answer.error}")
    require(reply.answer.done, f"{what}: the stream ended without a finish reason or [DONE]")
    return reply


@check("deploys what was asked")
def deploys(subject: Subject) -> None:
    for function in subject.functions:
        route = subject.endpoint.route(function)
        listed = served_models(route.base_url, subject.endpoint.headers)
        if listed is not None:
            require(route.model in listed, f"/v1/models does not list {route.model!r}")
        _ok(complete(subject.endpoint, function, 1), function)


@check("streams")
def streams(subject: Subject) -> None:
    reply = _ok(complete(subject.endpoint, subject.functions[0], _STREAMED), "a stream")
    kind = reply.content_type.partition(";")[0].strip()
    require(kind == "text/event-stream", f"Content-Type is {kind!r}, not text/event-stream")
    times = reply.answer.text_ns
    require(len(times) > 1, f"{_STREAMED} tokens arrived in {len(times)} pieces of text")
    require(times[0] < times[-1], "the first token did not arrive before the last")


@check("honours max_tokens")
def max_tokens(subject: Subject) -> None:
    for wanted in (1, 2, 7):
        reply = _ok(complete(subject.endpoint, subject.functions[0], wanted), f"{wanted} tokens")
        got = reply.answer.output_tokens
        require(got == wanted, f"{wanted} tokens requested with ignore_eos, {got} in the usage")


@check("honours seeds")
def seeds(subject: Subject) -> None:
    def sampled() -> str | None:
        reply = complete(subject.endpoint, subject.functions[0], 12, temperature=1.0, seed=7)
        return _ok(reply, "a sampled answer").answer.text_sha256

    require(sampled() == sampled(), "one seed at temperature 1 gave two different responses")


@check("refuses an unknown model")
def unknown_model(subject: Subject) -> None:
    known = subject.functions[0]
    body = {**stream_body(1), "model": _UNKNOWN}
    _check_refused(subject, known, body, f"model {_UNKNOWN!r}", right=404)
    _ok(complete(subject.endpoint, known, 1), "a request after it")


@check("refuses bad bodies and goes on")
def bad_bodies(subject: Subject) -> None:
    known = subject.functions[0]
    for what, body in _BAD.items():
        _check_refused(subject, known, body, what, right=400)
    _say_nonsense(subject.endpoint.route(known).base_url)
    _ok(complete(subject.endpoint, known, 1), "a request after them")


def _check_refused(subject: Subject, model: str, body: Any, what: str, *, right: int) -> None:
    try:
        with sending(subject.endpoint, model, body) as response:
            response.read()
    except (HTTPException, OSError) as error:
        reason = f"{what}: {type(error).__name__} ({error}), HTTP {right} would be right"
        raise NotConformingError(reason) from error
    status = response.status
    require(400 <= status < 500, f"{what}: HTTP {status}, {right} would be right")


def _say_nonsense(base_url: str) -> None:
    """Send bytes that are not HTTP; the reply is ignored."""
    target = Target.parse(base_url)
    with suppress(OSError), socket.create_connection((target.host, target.port), 10) as plain:
        plain.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        plain.recv(1024)


@check("survives clients that leave")
def disconnects(subject: Subject) -> None:
    """Clients, two full batches one by one, leave after the first bytes of a long response."""
    function = subject.functions[0]
    for _ in range(2 * subject.batch):
        with sending(subject.endpoint, function, stream_body(200)) as response:
            require(response.status == 200, f"HTTP {response.status} before any client left")
            response.read1(1)
    _ok(complete(subject.endpoint, function, 2), "a request after they left")
