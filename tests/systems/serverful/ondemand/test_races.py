"""Calls against servers that start, wake, sleep, fail and die: real HTTP, scripted vLLMs.

The scripted vLLM says VIOLATION in its log if it is used while it does not serve, or put to sleep
amid a stream; that is looked for at the end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

import psutil
import pytest

from harness.conformance.talk import sending, stream_body
from systems.interface import Stage, StartType
from systems.serverful.http import get
from systems.serverful.prometheus import total

from .conftest import Deploy, Scripted, scripted_vllms
from .live import LIMIT_S, Live, live, short_timeout, until

KEEP_ALIVE_S, SLEEP_S, WAKE_S = 0.3, 0.3, 0.5
SLOW = "f1.gap-60"


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripted]:
    times = {"SLEEP_S": str(SLEEP_S), "WAKE_S": str(WAKE_S)}
    with scripted_vllms(tmp_path_factory.mktemp("scripted"), times) as found:
        yield found


@pytest.fixture(scope="module")
def system(scripted: Scripted, deployed: Deploy) -> Iterator[Live]:
    with live(deployed("f0", SLOW, keep_alive_s=KEEP_ALIVE_S)) as found:
        yield found


@pytest.fixture
def here(system: Live) -> Live:
    system.mark()
    return system


def test_a_call_wakes_the_server_and_its_wait_is_told(here: Live) -> None:
    reply = here.call(request_id="woke")
    assert (reply.status, reply.answer.output_tokens) == (200, 2)
    assert here.said()[:2] == ["wake_up", "awake"]
    woke = here.trace("woke")
    queue, warming, *rest = woke.spans
    assert [span.stage for span in rest] == [Stage.PREFILL, Stage.DECODE]
    assert (queue.stage, warming.stage) == (Stage.QUEUE, Stage.WARMING)
    assert queue.start_ns == woke.received_ns
    assert warming.end_ns - warming.start_ns > WAKE_S * 1e9 > queue.end_ns - queue.start_ns
    assert (woke.start_type, woke.instance_id) == (StartType.WARM, "tiny")
    told = get(f"{here.endpoint.base_url}/metrics") or ""
    assert total(told, "slbench_start_types_total") == total(told, "slbench_requests_total") > 0
    assert total(told, "slbench_ttft_seconds_sum") > WAKE_S


def test_calls_at_once_wake_it_once(here: Live) -> None:
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(here.call, ["f0", SLOW] * 4))
    assert {reply.status for reply in replies} == {200}
    assert here.said().count("wake_up") == 1


def test_a_call_while_it_falls_asleep_waits_and_wakes_it(here: Live) -> None:
    here.call()
    here.hears("sleep")
    assert here.call(request_id="late").status == 200
    assert here.said()[2:6] == ["sleep", "asleep", "wake_up", "awake"]
    stages = [span.stage for span in here.trace("late").spans]
    assert stages[:2] == [Stage.QUEUE, Stage.WARMING], "to sleep, then to wake"


def test_it_stays_awake_while_a_stream_runs_and_then_for_the_keep_alive(here: Live) -> None:
    reply = here.call(SLOW, tokens=12, request_id="stream")
    end_ns = time.monotonic_ns()
    assert reply.answer.output_tokens == 12, "more than twice the keep-alive"
    assert here.call(request_id="hot").status == 200
    assert here.trace("hot").start_type is StartType.HOT
    here.hears("sleep")
    assert here.when_said("sleep") - end_ns > 0.9 * KEEP_ALIVE_S * 1e9


def test_a_client_that_leaves_while_it_wakes_leaves_nothing_behind(here: Live) -> None:
    headers = {"X-Request-Id": "left"}
    with (
        short_timeout(),
        pytest.raises(TimeoutError),
        sending(here.endpoint, "f0", stream_body(4), **headers),
    ):
        pass
    here.hears("asleep")
    assert here.said() == ["wake_up", "awake", "sleep", "asleep"]
    left = here.trace("left")
    assert (left.placed_ns, left.responded_ns, left.spans) == (None, None, ())


def test_a_client_that_leaves_a_stream_ends_it(here: Live) -> None:
    with sending(here.endpoint, SLOW, stream_body(200)) as response:
        response.read1(1)
    here.hears("asleep")
    assert here.said() == ["wake_up", "awake", "sleep", "asleep"], "long before its 200 tokens"


def test_a_wake_that_fails_fails_who_waited_and_the_next_call_starts_it(
    here: Live, scripted: Scripted
) -> None:
    scripted.fail("wake_up")
    with ThreadPoolExecutor(2) as pool:
        replies = list(pool.map(here.call, ["f0", SLOW]))
    assert [reply.status for reply in replies] == [503, 503]
    assert here.call(request_id="after-wake").status == 200
    assert here.trace("after-wake").start_type is StartType.COLD
    assert len(here.servers()) == 1, "the first one was ended"
    assert here.problems() == ("tiny: /wake_up: HTTP 500: {}",)


@pytest.mark.parametrize("fault", ["sleep", "is_sleeping"])
def test_a_sleep_that_fails_ends_the_server(here: Live, scripted: Scripted, fault: str) -> None:
    (server,) = here.servers()
    scripted.fail(fault)
    here.call()
    _, alive = psutil.wait_procs([server], LIMIT_S)
    assert not alive
    assert here.call(request_id=f"after-{fault}").status == 200
    assert here.trace(f"after-{fault}").start_type is StartType.COLD


def test_a_server_that_dies_asleep_is_started_by_the_next_call(here: Live) -> None:
    (server,) = here.servers()
    server.kill()
    until(here.problems)
    assert here.call(request_id="after-death").status == 200
    assert here.trace("after-death").start_type is StartType.COLD
    (problem,) = here.problems()
    assert problem.startswith("tiny: ended while it served, status -9")


def test_a_server_that_dies_in_a_stream_breaks_it_off(here: Live) -> None:
    with sending(here.endpoint, SLOW, stream_body(200)) as response:
        response.read1(1)
        (server,) = here.servers()
        server.kill()
        with pytest.raises((OSError, HTTPException)):
            response.read()
    until(here.problems)
    assert here.call().status == 200
