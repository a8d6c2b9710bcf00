"""Reads PSS and USS of processes in a thread of its own: a walk of many page tables takes a second
and more, and one of a process that changes them may wait."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from systems.runtime.process_memory import Shares, shares_of_all


class SharesReader:
    """One reading at a time. ``cpu_s``: processor time of those that ended."""

    def __init__(self) -> None:
        self.cpu_s = 0.0
        self._pool = ThreadPoolExecutor(1, "telemetry-shares")
        self._pending: Future[tuple[Shares | None, float]] | None = None

    @property
    def busy(self) -> bool:
        """Whether a reading was begun and not taken."""
        return self._pending is not None

    def begin(self, pids: Sequence[int]) -> None:
        self._pending = self._pool.submit(_timed, list(pids))

    def take(self, *, wait: bool = False) -> tuple[bool, Shares | None]:
        """Return whether a reading ended, and what it found, once. ``wait``: for its end."""
        if self._pending is None or not (wait or self._pending.done()):
            return False, None
        found, took_s = self._pending.result()
        self._pending = None
        self.cpu_s += took_s
        return True, found

    def close(self) -> None:
        self._pool.shutdown()


def _timed(pids: Sequence[int]) -> tuple[Shares | None, float]:
    began = time.thread_time()
    found = shares_of_all(pids)
    return found, time.thread_time() - began
