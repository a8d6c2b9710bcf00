"""Fuzz the HTTP API of a real platform: valid and invalid requests made from its OpenAPI document,
and corrupted HTTP bytes."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from systems.registry import system_class

from ..stage import FUNCTIONS, LIMITS, deployment
from .mutations import SPOIL
from .tally import HANGS_S, Tally, spread

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
_SMALL = LIMITS.model_copy(update={"max_context_tokens": 64, "keep_alive_s": 600})
_READ_S = 30.0
_PATIENCE_S = 0.1


@contextmanager
def platform() -> Iterator[str]:
    """Start a platform with an instance of each function, and yield its URL."""
    with system_class("serverless-lora")() as system:
        url = system.deploy(deployment(limits=_SMALL)).base_url
        for name in FUNCTIONS:
            body = {"model": name, "prompt": [1, 2], "max_tokens": 1}
            requests.post(f"{url}/v1/completions", json=body, timeout=120).raise_for_status()
        yield url


def documented(examples: int, number: int, url: str) -> Tally:
    """Send requests, half of them valid by the document and half not. Most name an existing
    function, since any other name is already a reason to refuse."""
    document = requests.get(f"{url}/openapi.json", timeout=10).json()
    schema = schemathesis.openapi.from_dict(document)
    operations = [found.ok() for found in schema.get_all_operations()]
    posts = [each for each in operations if each.method.upper() == "POST"]
    tally, session = Tally("HTTP requests by the OpenAPI document"), requests.Session()
    share = -(-examples // (2 * len(posts)))
    for operation in posts:
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            _try(operation.as_strategy(generation_mode=mode), share, number, url, session, tally)
    return tally


def _try(
    cases: Any, examples: int, number: int, url: str, session: requests.Session, tally: Tally
) -> None:
    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, name=st.sampled_from([*FUNCTIONS, None]))
    def attempt(case: Any, name: str | None) -> None:
        if isinstance(case.body, dict) and name is not None and "model" in case.body:
            case.body["model"] = name
        _send(case, url, session, tally)

    attempt()


def _send(case: Any, url: str, session: requests.Session, tally: Tally) -> None:
    tally.tried += 1
    started = time.monotonic()
    about = f"{case.method} {case.path} {str(case.body)[:150]!r}"
    try:
        response = case.call(base_url=url, session=session, timeout=_READ_S)
        case.validate_response(response, checks=CHECKS)
        _count(response.status_code, tally)
    except requests.RequestException as error:
        tally.problem(f"{about}: {type(error).__name__}: {error}")
    except (AssertionError, BaseExceptionGroup) as error:
        told = error.exceptions if isinstance(error, BaseExceptionGroup) else [error]
        tally.problem(f"{about}: {'; '.join(str(each).splitlines()[0] for each in told)}")
    _time(tally, about, started)


def _count(status: int, tally: Tally) -> None:
    if status < 400:
        tally.taken += 1
    else:
        tally.refused += 1


def _time(tally: Tally, about: str, started: float) -> None:
    took_s = time.monotonic() - started
    tally.slowest_s = max(tally.slowest_s, took_s)
    if took_s > HANGS_S:
        tally.problem(f"{about}: took {took_s:.1f} s")


def raw(examples: int, number: int, url: str) -> Tally:
    """Send valid requests with corrupted bytes, and close the sending side soon after. The server
    must return an HTTP response or nothing, and close the connection."""
    tally = Tally("spoilt HTTP")
    port = int(url.rpartition(":")[2])
    for index, way in spread(examples, SPOIL):
        random = np.random.default_rng([number, index])
        said = SPOIL[way](random, _request(FUNCTIONS[index % len(FUNCTIONS)]))
        about = f"spoilt HTTP {index} of seed {number}"
        started = time.monotonic()
        tally.tried += 1
        try:
            _judge(_exchange(port, said), about, tally)
        except OSError as error:
            tally.problem(f"{about}: {error}")
        _time(tally, about, started)
    return tally


def _request(function: str) -> bytes:
    body = json.dumps({"model": function, "prompt": [1, 2, 3], "max_tokens": 2}).encode()
    head = (
        "POST /v1/completions HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _exchange(port: int, said: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=_READ_S) as ours:
        ours.sendall(said)
        select.select([ours], [], [], _PATIENCE_S)
        ours.shutdown(socket.SHUT_WR)
        heard = b""
        try:
            while piece := ours.recv(1 << 16):
                heard += piece
        except ConnectionResetError:
            pass
    return heard


def _judge(heard: bytes, about: str, tally: Tally) -> None:
    status = heard[9:12]
    if not heard:
        tally.refused += 1
    elif not heard.startswith(b"HTTP/") or not status.isdigit():
        tally.problem(f"{about}: answered {heard[:60]!r}")
    elif int(status) >= 500:
        tally.problem(f"{about}: {heard[:200]!r}")
    else:
        _count(int(status), tally)
