"""The conformance suite passes a correct system and catches planted defects."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from harness.conformance import examine
from harness.conformance.check import CHECKS, NotConformingError, Subject
from harness.conformance.subjects import reached
from harness.conformance.suite import Result
from harness.conformance.table import show, told
from harness.reference_server import ReferenceServer
from systems.interface import (
    Deployment,
    Device,
    Endpoint,
    Function,
    Limits,
    RequestTrace,
    Span,
    Stage,
    SystemTrace,
)
from systems.openai_endpoint import OpenAIEndpoint

pytestmark = pytest.mark.live


def deployment(*functions: str) -> Deployment:
    return Deployment(
        functions=tuple(Function(id=each, backbone="external") for each in functions),
        backbones={"external": Path()},
        devices=(Device(name="cpu:0", memory_bytes=1),),
        limits=Limits(max_batch_size=2),
    )


def test_a_server_that_behaves_passes_by_its_url(server: ReferenceServer) -> None:
    subject = reached(server.base_url, ["ref", "ref.gap-5"], None)
    results = {each.check: each for each in examine(OpenAIEndpoint(), subject)}
    assert len(results) == len(CHECKS) + 1
    assert [each for each in results.values() if each.outcome == "failed"] == []
    assert results["reports spans that add up"].outcome == "not testable"
    assert results["stops without leaving a process or a port"].outcome == "not testable"


@pytest.mark.parametrize(
    ("model", "check", "words"),
    [
        ("ref.fail-500", "deploys what was asked", "HTTP 500"),
        ("ref.error-0", "deploys what was asked", "out of memory"),
        ("ref.premature-3", "streams", "without a finish reason"),
        ("ref.burst-50.gap-0", "streams", "did not arrive before"),
        ("ref.pack-50", "streams", "1 pieces"),
        ("ref.short-1", "honours max_tokens", "2 tokens requested"),
        ("ref.busy-1", "survives clients that leave", "429"),
    ],
)
def test_what_is_planted_is_found(
    server: ReferenceServer, model: str, check: str, words: str
) -> None:
    with pytest.raises(NotConformingError, match=words):
        CHECKS[check](Subject(Endpoint(server.base_url, (model,)), [model], 2, SystemTrace))


def test_an_answer_that_is_no_http_fails_its_check_and_the_others_go_on(
    server: ReferenceServer,
) -> None:
    results = list(examine(OpenAIEndpoint(), reached(server.base_url, ["ref.premature-0"], None)))
    assert len(results) == len(CHECKS) + 1
    assert "BadStatusLine" in next(each.why for each in results if each.check == "streams")


class _Naive(BaseHTTPRequestHandler):
    """Takes every body for an object; one that is none ends the connection without an answer."""

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        if sent != b"[]":
            self.send_error(400)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_the_body_that_got_no_answer_is_named() -> None:
    with HTTPServer(("127.0.0.1", 0), _Naive) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(NotConformingError, match=r"the body \[\]: RemoteDisconnected.*400"):
            CHECKS["refuses bad bodies and goes on"](
                Subject(Endpoint(url, ("any",)), ["any"], 2, SystemTrace)
            )
        server.shutdown()


def _told(*stages: tuple[int, int]) -> Callable[[], SystemTrace]:
    """Make the system trace of the check's own request. ``stages``: start and end (µs) of each
    stage, relative to the arrival of the request 20 ms before the trace is read."""

    def system_trace() -> SystemTrace:
        now = time.monotonic_ns() - 20_000_000
        spans = tuple(Span(Stage.PREFILL, now + a * 1000, now + b * 1000) for a, b in stages)
        return SystemTrace((RequestTrace("424242", "ref", now, spans=spans),))

    return system_trace


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ([(0, 500), (400, 900)], "within the stage before"),
        ([(0, 500), (9_000, 9_500)], "in no stage"),
        ([(500, 0)], "ends before it starts"),
        ([(0, 900_000)], "after the response"),
    ],
)
def test_spans_that_do_not_add_up_are_found(
    server: ReferenceServer, stages: list[tuple[int, int]], words: str
) -> None:
    subject = Subject(Endpoint(server.base_url, ("ref",)), ["ref"], 2, _told(*stages))
    with pytest.raises(NotConformingError, match=words):
        CHECKS["reports spans that add up"](subject)


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"acme@b": ["ref"], "other@b": ["ref.gap-5"]}, "instance 1 served functions of acme@b"),
        ({"*@b": ["ref", "ref.gap-5"], "f2": ["f2"]}, ""),
    ],
)
def test_an_instance_that_serves_two_groups_is_found(
    server: ReferenceServer, groups: dict[str, list[str]], words: str
) -> None:
    models = ("ref", "ref.gap-5")
    traces = tuple(
        RequestTrace(str(number), model, number, instance_id=instance)
        for number, (model, instance) in enumerate(
            [("ref", "0"), ("ref", "1"), ("ref.gap-5", "1"), ("of no group", "1")]
        )
    )
    subject = Subject(
        Endpoint(server.base_url, models), models, 2, lambda: SystemTrace(traces), groups
    )
    check = CHECKS["serves only functions of one group by an instance"]
    with pytest.raises(NotConformingError, match=words) if words else nullcontext():
        check(subject)


def test_the_table_is_standard_output_and_the_progress_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(told([Result("streams", "failed", "no [end] in the stream")]))
    printed = capsys.readouterr()
    assert printed.err == "streams: failed\n"
    assert "no [end] in the stream" in printed.out


def test_a_command_is_filled_in_started_and_stopped() -> None:
    command = f"{sys.executable} -m harness.reference_server {{port}}"
    subject = deployment("f0").model_copy(update={"options": {"command": command}})
    results = list(examine(OpenAIEndpoint(), subject))
    assert [each for each in results if each.outcome == "failed"] == []
