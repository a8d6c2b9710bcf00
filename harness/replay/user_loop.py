"""Sends for users of a closed loop: each request is due when a user is ready for it."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Sequence

from .clock import SPIN_NS, Alarm


class UserLoop:
    """Calls ``send(i)`` for i = 0, 1, … whenever a user is ready, and sets ``due_ns[i]`` to that
    time before. ``starts_ns``: when each user begins; after every ``ended`` one of them is ready
    again ``think_ns`` later. Times are absolute."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        starts_ns: Sequence[int],
        think_ns: int,
        due_ns: list[int],
        send: Callable[[int], None],
    ) -> None:
        self._loop, self._think_ns, self._due_ns, self._send = loop, think_ns, due_ns, send
        self._ready_ns = sorted(starts_ns)
        self._alarm = Alarm(loop, self._soon)
        self._next = 0
        self._coming = self._stopped = False

    def start(self) -> None:
        self._soon()

    def stop(self) -> None:
        self._stopped = True
        self._alarm.close()

    def ended(self, at_ns: int) -> None:
        """A user has its answer, or the error instead of it, since ``at_ns``. If that is read
        later, the next request is late by as much."""
        heapq.heappush(self._ready_ns, at_ns + self._think_ns)
        self._soon()

    def _soon(self) -> None:
        """Look in the loop's next turn, when the connection of what has ended is free again."""
        if not self._coming:
            self._coming = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._coming = False
        if self._stopped or self._next == len(self._due_ns) or not self._ready_ns:
            return
        left_ns = self._ready_ns[0] - time.monotonic_ns()
        if left_ns > SPIN_NS:
            self._alarm.set(self._ready_ns[0] - SPIN_NS)
            return
        if left_ns <= 0:
            self._due_ns[self._next] = heapq.heappop(self._ready_ns)
            self._next += 1
            self._send(self._next - 1)
        self._soon()
