"""Calls against servers that start, wake, sleep, fail and die: real HTTP, scripted vLLMs.

The scripted vLLM says VIOLATION in its log if it is used while it does not serve, or put to sleep
amid a stream; every test looks for that.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

import psutil
import pytest

from harness.conformance.talk import sending, stream_body
from systems.interface import Stage, StartType

from .conftest import Deploy, Scripted
from .live import LIMIT_S, live, short_timeout, until

LONG_S = 60.0
"""A keep-alive that no test outlasts."""


def test_a_call_wakes_the_server_and_its_wait_is_told(scripted: Scripted, deployed: Deploy) -> None:
    with live(deployed("f0", "f1", keep_alive_s=LONG_S)) as here:
        assert here.said()[-1] == "asleep", "once before the endpoint answers"
        assert here.call("f1", request_id="1").status == 200
        assert here.call("f0", request_id="2").status == 200
        assert here.said().count("wake_up") == 1
        woke, found = here.trace("1"), here.trace("2")
    assert [span.stage for span in woke.spans][-3:] == [Stage.WARMING, Stage.PREFILL, Stage.DECODE]
    (warming,) = (span for span in woke.spans if span.stage is Stage.WARMING)
    assert warming.end_ns - warming.start_ns > 0.2e9
    assert (woke.start_type, found.start_type) == (StartType.WARM, StartType.HOT)
    assert woke.instance_id == "tiny"


def test_two_calls_at_once_wake_it_once(scripted: Scripted, deployed: Deploy) -> None:
    with live(deployed("f0", "f1", keep_alive_s=LONG_S)) as here, ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(here.call, ["f0", "f1"] * 4))
        assert {reply.status for reply in replies} == {200}
        assert here.said().count("wake_up") == 1


def test_a_call_while_it_falls_asleep_waits_and_wakes_it(
    scripted: Scripted, deployed: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLEEP_S", "0.5")
    with live(deployed("f0", keep_alive_s=0.05)) as here:
        here.call()
        here.until("sleep", 2)
        assert here.call(request_id="2").status == 200
        assert here.said()[-4:] == ["sleep", "asleep", "wake_up", "awake"]
        stages = [span.stage for span in here.trace("2").spans]
    assert stages[:2] == [Stage.QUEUE, Stage.WARMING], "to sleep, then to wake"


def test_it_stays_awake_while_a_stream_runs_and_then_for_the_keep_alive(
    scripted: Scripted, deployed: Deploy
) -> None:
    keep_alive_s = 0.25
    with live(deployed("f0.gap-100", keep_alive_s=keep_alive_s)) as here:
        reply = here.call("f0.gap-100", tokens=8)
        end_ns = time.monotonic_ns()
        assert reply.answer.output_tokens == 8, "almost three times the keep-alive"
        here.until("sleep", 2)
        log = here.system.system_trace().files["tiny-0.log"].splitlines()
    slept_ns = next(int(line.split()[0]) for line in reversed(log) if line.endswith(" sleep"))
    assert slept_ns - end_ns > 0.9 * keep_alive_s * 1e9


def test_a_client_that_leaves_while_it_wakes_leaves_nothing_behind(
    scripted: Scripted, deployed: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAKE_S", "0.6")
    with live(deployed("f0", keep_alive_s=0.1)) as here:
        with (
            pytest.raises(TimeoutError),
            short_timeout(),
            sending(here.endpoint, "f0", stream_body(4), **{"X-Request-Id": "left"}),
        ):
            pass
        here.until("asleep", 2)
        assert here.said()[-4:] == ["wake_up", "awake", "sleep", "asleep"]
        assert here.call().status == 200
        left = here.trace("left")
    assert (left.placed_ns, left.responded_ns, left.spans) == (None, None, ())


def test_a_wake_that_fails_fails_who_waited_and_the_next_call_starts_it(
    scripted: Scripted, deployed: Deploy
) -> None:
    with live(deployed("f0", "f1")) as here, ThreadPoolExecutor(2) as pool:
        scripted.fail("wake_up")
        replies = list(pool.map(here.call, ["f0", "f1"]))
        assert [reply.status for reply in replies] == [503, 503]
        assert here.call(request_id="again").status == 200
        assert here.trace("again").start_type is StartType.COLD
        assert len(scripted.servers(here.endpoint.pids)) == 1, "the first one was ended"
        problems = here.system.system_trace().problems
    assert problems == ("tiny: /wake_up: HTTP 500: {}",)


@pytest.mark.parametrize("request_", ["sleep", "is_sleeping"])
def test_a_sleep_that_fails_ends_the_server(
    request_: str, scripted: Scripted, deployed: Deploy
) -> None:
    with live(deployed("f0", keep_alive_s=0.05)) as here:
        scripted.fail(request_)
        here.call()
        (server,) = scripted.servers(here.endpoint.pids)
        psutil.wait_procs([server], LIMIT_S)
        assert here.call(request_id="again").status == 200
        assert here.trace("again").start_type is StartType.COLD


def test_a_server_that_dies_asleep_is_started_by_the_next_call(
    scripted: Scripted, deployed: Deploy
) -> None:
    with live(deployed("f0")) as here:
        (server,) = scripted.servers(here.endpoint.pids)
        server.kill()
        psutil.wait_procs([server], LIMIT_S)
        until(lambda: here.system.system_trace().problems)
        assert here.call(request_id="again").status == 200
        assert here.trace("again").start_type is StartType.COLD
        (problem,) = here.system.system_trace().problems
    assert problem.startswith("tiny: ended while it served, status -9")


def test_a_server_that_dies_in_a_stream_breaks_it_off(scripted: Scripted, deployed: Deploy) -> None:
    with live(deployed("f0.gap-50")) as here:
        with sending(here.endpoint, "f0.gap-50", stream_body(200)) as response:
            response.read1(1)
            (server,) = scripted.servers(here.endpoint.pids)
            server.kill()
            with pytest.raises((OSError, HTTPException)):
                response.read()
        assert here.call("f0.gap-50").status == 200
