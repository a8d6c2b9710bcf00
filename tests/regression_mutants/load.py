"""Rules 2 to 4 on real clocks and sockets: open loop, and a reader that delays no token.

A limit is a third of the delay that the planted defect causes, so that a busy machine does not
look like the defect.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Callable
from typing import Any

import uvloop

from harness.reference_server import running_reference_server
from harness.replay.clock import Dispatcher
from harness.replay.decode import decode
from harness.replay.frames import Captured
from harness.replay.pool import Pool
from harness.replay.requests import Encoder
from harness.replay.target import Target

from .mutant import Mutant

NS = 1_000_000_000
COUNT, GAP_S, STALL_AT, STALL_S = 60, 0.005, 5, 0.24
TOLERANCE_S = 0.08


def walk(dispatcher: Any) -> list[tuple[int, float, float]]:
    """Send 60 requests 5 ms apart; the sixth blocks the client for 240 ms. Return the index, due
    time and send time (s) of each."""
    sent: list[tuple[int, float, float]] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        begin_ns = time.monotonic_ns() + NS // 50
        due_ns = [begin_ns + int(index * GAP_S * NS) for index in range(COUNT)]

        def send(index: int) -> None:
            now_ns = time.monotonic_ns()
            sent.append((index, index * GAP_S, (now_ns - begin_ns) / NS))
            if index == STALL_AT:
                time.sleep(STALL_S)

        dispatcher(loop, due_ns, send).start()
        deadline = time.monotonic() + COUNT * GAP_S + 3 * STALL_S
        while len(sent) < COUNT and time.monotonic() < deadline:
            await asyncio.sleep(GAP_S)

    uvloop.run(run())
    return sent


def drops_nothing(dispatcher: Any) -> None:
    assert [index for index, _, _ in walk(dispatcher)] == list(range(COUNT))


def keeps_to_absolute_times(dispatcher: Any) -> None:
    _, due_s, sent_s = walk(dispatcher)[-1]
    assert sent_s - due_s < TOLERANCE_S


def sends_late_ones_at_once(dispatcher: Any) -> None:
    waited = [sent for _, due, sent in walk(dispatcher) if 0 < sent - due > TOLERANCE_S]
    assert waited
    assert waited[-1] - waited[0] < TOLERANCE_S + STALL_S


def is_never_early(dispatcher: Any) -> None:
    assert all(sent >= due for _, due, sent in walk(dispatcher))


class Planted:
    """Base of the planted dispatchers; uses the timers of the event loop."""

    def __init__(self, loop: Any, due_ns: list[int], send: Callable[[int], None]) -> None:
        self.loop, self.due_ns, self.send = loop, due_ns, send

    def start(self) -> None:
        self.loop.create_task(self.run())

    async def until(self, at_ns: int) -> None:
        await asyncio.sleep(max(0, at_ns - time.monotonic_ns()) / NS)

    async def run(self) -> None:
        raise NotImplementedError


class ReAnchoring(Planted):
    """Waits for gaps instead of absolute times: after one delay, all later requests are late."""

    async def run(self) -> None:
        await self.until(self.due_ns[0])
        for index in range(COUNT):
            self.send(index)
            await asyncio.sleep(GAP_S)


class Dropping(Planted):
    """Drops requests that are already late."""

    async def run(self) -> None:
        for index, due_ns in enumerate(self.due_ns):
            await self.until(due_ns)
            if time.monotonic_ns() - due_ns < TOLERANCE_S * NS:
                self.send(index)


class Throttling(Planted):
    """Limits its send rate, also while it catches up after a delay."""

    async def run(self) -> None:
        for index, due_ns in enumerate(self.due_ns):
            await self.until(due_ns)
            self.send(index)
            await asyncio.sleep(4 * GAP_S)


class Batching(Planted):
    """Sends at each tick all requests that are due before the next tick."""

    async def run(self) -> None:
        for first in range(0, COUNT, 10):
            await self.until(self.due_ns[first])
            for index in range(first, min(first + 10, COUNT)):
                self.send(index)


def encoded(url: str, model: str, count: int, tokens: int) -> list[bytes]:
    encoder = Encoder(Target.parse(url), {})
    return [encoder.encode(request, model, [1, 2, 3], tokens) for request in range(count)]


def send_all(url: str, requests: list[bytes], wait_s: float) -> list[Captured]:
    """Send with our pool, as fast as possible; return the answers that ended within ``wait_s``."""
    captured: list[Captured] = []

    async def run() -> None:
        pool = Pool(asyncio.get_running_loop(), Target.parse(url), 30.0, captured.append)
        for row, request in enumerate(requests):
            pool.send(row, request)
        deadline = time.monotonic() + wait_s
        while len(captured) < len(requests) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        pool.abandon("enough")

    uvloop.run(run())
    return captured


def four_users(url: str, requests: list[bytes], wait_s: float) -> None:
    """Closed loop: a user sends its next request after it received the last response."""

    async def user(waiting: list[bytes]) -> None:
        target = Target.parse(url)
        while waiting:
            reader, writer = await asyncio.open_connection(target.host, target.port)
            writer.write(waiting.pop())
            await reader.read()
            writer.close()

    async def run() -> None:
        waiting = list(requests)
        users = asyncio.gather(*(user(waiting) for _ in range(4)))
        await asyncio.wait([asyncio.ensure_future(users)], timeout=wait_s)
        users.cancel()

    asyncio.run(run())


def does_not_wait_for_answers(send: Callable[[str, list[bytes], float], Any]) -> None:
    with running_reference_server() as server:
        send(server.base_url, encoded(server.base_url, "ref.stall-0", 40, 2), 1.0)
        assert len(server.log()) == 40


def first_token_seen(url: str) -> dict[int, int]:
    captured = send_all(url, encoded(url, "ref.ttft-10.gap-30", 3, 30), 20.0)
    return {one.row: decode(one, 0).first_token_ns or 0 for one in captured}


def first_token_in_blocks(url: str) -> dict[int, int]:
    """Read blocks of 1,024 bytes; such a read returns only after several tokens have arrived."""
    target = Target.parse(url)
    seen = {}
    for row, request in enumerate(encoded(url, "ref.ttft-10.gap-30", 3, 30)):
        connection = http.client.HTTPConnection(target.host, target.port)
        body = request.split(b"\r\n\r\n", 1)[1]
        connection.request("POST", "/v1/completions", body, {"X-Request-Id": str(row)})
        response = connection.getresponse()
        while b'"text":" ' not in response.read(1024):
            pass
        seen[row] = time.monotonic_ns()
        response.read()
        connection.close()
    return seen


def holds_no_token_back(reader: Callable[[str], dict[int, int]]) -> None:
    with running_reference_server() as server:
        seen = reader(server.base_url)
        log = server.log()
    skews = [(seen[row] - log[row]["sent"][0][0]) / NS for row in seen]
    assert len(skews) == 3
    assert all(0 < skew < 0.04 for skew in skews), json.dumps(skews)


EXHIBITS = [
    Mutant(2, "late requests dropped", drops_nothing, Dispatcher, Dropping),
    Mutant(2, "re-anchored after a delay", keeps_to_absolute_times, Dispatcher, ReAnchoring),
    Mutant(2, "throttled while catching up", sends_late_ones_at_once, Dispatcher, Throttling),
    Mutant(2, "closed loop", does_not_wait_for_answers, send_all, four_users),
    Mutant(3, "requests sent by the tick", is_never_early, Dispatcher, Batching),
    Mutant(4, "tokens held back in blocks", holds_no_token_back, first_token_seen,
            first_token_in_blocks),
]  # fmt: skip
