"""Waking at absolute times. How late is the benchmarks' business; never early is a promise."""

from __future__ import annotations

import asyncio
import os
import time

import pytest
import uvloop

from harness.replay.clock import Dispatcher, LagProbe

MS = 1_000_000


def sent_at(offsets_ms: list[float]) -> list[tuple[int, int]]:
    """Index and nanoseconds after the due time of every send."""
    sent: list[tuple[int, int]] = []

    async def run() -> None:
        begin = time.monotonic_ns()
        due = [begin + int(offset * MS) for offset in offsets_ms]
        loop = asyncio.get_running_loop()
        Dispatcher(loop, due, lambda i: sent.append((i, time.monotonic_ns() - due[i]))).start()
        while len(sent) < len(due):
            await asyncio.sleep(0.001)

    uvloop.run(run())
    return sent


@pytest.mark.parametrize(
    "offsets_ms", [[0, 1, 2, 3], [5, 5, 5, 5.01], [-100, -50, 10], [0.05 * i for i in range(200)]]
)
def test_all_are_sent_in_order_and_none_early(offsets_ms: list[float]) -> None:
    sent = sent_at(offsets_ms)
    assert [index for index, _ in sent] == list(range(len(offsets_ms)))
    assert all(late >= 0 for _, late in sent)


def test_reading_goes_on_while_many_are_late() -> None:
    """A thousand overdue sends leave room for other callbacks between them."""
    turns = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        sent: list[int] = []
        past = time.monotonic_ns() - MS
        Dispatcher(loop, [past] * 1000, sent.append).start()
        while len(sent) < 1000:
            turns.append(len(sent))
            await asyncio.sleep(0)

    uvloop.run(run())
    assert len(turns) > 100


def test_a_stopped_dispatcher_sends_nothing_more() -> None:
    sent: list[int] = []

    async def run() -> None:
        soon = time.monotonic_ns() + 20 * MS
        dispatcher = Dispatcher(asyncio.get_running_loop(), [0, soon], sent.append)
        dispatcher.start()
        await asyncio.sleep(0.005)
        dispatcher.stop()
        read, write = os.pipe()  # one of them has the number that the timer had
        dispatcher.stop()
        await asyncio.sleep(0.05)
        for end in (read, write):
            os.close(end)

    uvloop.run(run())
    assert sent == [0]


def test_a_loop_that_is_held_up_is_seen_to_lag() -> None:
    async def run() -> list[int]:
        probe = LagProbe(asyncio.get_running_loop(), every_ns=2 * MS)
        probe.start(time.monotonic_ns())
        await asyncio.sleep(0.02)
        time.sleep(0.1)
        await asyncio.sleep(0.02)
        probe.close()
        return probe.lags_ns

    lags = uvloop.run(run())
    assert max(lags) > 50 * MS
    assert sum(lag > 50 * MS for lag in lags) == 1, "one stall is one long lag"
