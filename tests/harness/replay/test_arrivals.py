"""Arrival times are the kernel's: a reader that comes late stamps no later."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

import pytest
import uvloop

from harness.replay import arrivals
from harness.replay.arrivals import Arrivals, kernel_stamps

pytestmark = pytest.mark.skipif(not kernel_stamps(), reason="this kernel stamps nothing over TCP")


class Collector(asyncio.Protocol):
    def __init__(self) -> None:
        self.pieces: list[tuple[bytes, int]] = []
        self.ended = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        raise AssertionError(f"the transport read {data!r} itself")

    def received(self, data: bytes, at_ns: int) -> None:
        self.pieces.append((data, at_ns))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(exc)


async def exchange(
    stall_s: float, meanwhile: Callable[[], None] = lambda: None
) -> tuple[Collector, int, int, int]:
    """What was received, when it was sent (between the first two times), when the loop, held up
    for ``stall_s``, could read again. ``meanwhile``: what goes on before it does."""
    loop = asyncio.get_running_loop()
    arrivals = Arrivals(loop)
    with socket.create_server(("127.0.0.1", 0)) as server:
        transport, collector = await loop.create_connection(Collector, *server.getsockname())
        far, _ = server.accept()
    with far:
        arrivals.add(transport, collector)
        before = time.monotonic_ns()
        far.send(b"token")
        after = time.monotonic_ns()
        time.sleep(stall_s)
        meanwhile()
        free = time.monotonic_ns()
        while not collector.pieces:
            await asyncio.sleep(0.001)
    await collector.ended
    arrivals.drop(collector)
    transport.abort()
    return collector, before, after, free


def test_bytes_carry_the_time_they_came_and_not_the_time_they_were_read() -> None:
    collector, before, after, free = uvloop.run(exchange(stall_s=0.05))
    [(data, at)] = collector.pieces
    slack_ns = 1_000_000  # the wall clock may be slewed meanwhile
    assert data == b"token"
    assert before - slack_ns <= at <= after + slack_ns
    assert at < free - 40_000_000


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_wall_clock_that_is_set_meanwhile_moves_no_time_by_more_than_a_reading(
    hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says another time than the one that the kernel's stamp is on."""
    read = time.time_ns

    def set_the_clock() -> None:
        monkeypatch.setattr(time, "time_ns", lambda: read() + hours * 3600 * 10**9)

    began = time.monotonic_ns()
    collector, *_ = uvloop.run(exchange(0.0, set_the_clock))
    assert began <= collector.pieces[0][1] <= time.monotonic_ns()


def test_the_other_end_closing_is_told() -> None:
    collector, *_ = uvloop.run(exchange(stall_s=0.0))
    assert collector.ended.result() is None


def test_an_interruption_between_two_clocks_moves_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    read, asked = time.time_ns, []

    def interrupted_once() -> int:
        now = read()
        asked.append(now)
        if len(asked) == 1:
            time.sleep(0.02)
        return now

    monkeypatch.setattr(time, "time_ns", interrupted_once)
    moved = arrivals._wall_to_monotonic_ns() - (time.monotonic_ns() - read())
    assert len(asked) > 1
    assert abs(moved) < 5_000_000
