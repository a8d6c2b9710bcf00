"""Processor time over the processes that a server had one after the other."""

from __future__ import annotations


class Meter:
    """Counts from ``start_ns``. ``before_ns``: what the first process had used by then."""

    def __init__(self, start_ns: int, before_ns: int) -> None:
        self.start_ns = start_ns
        self._ended_ns = -before_ns
        self._last_ns = before_ns

    @property
    def total_ns(self) -> int:
        return self._ended_ns + self._last_ns

    def read(self, used_ns: int) -> None:
        self._last_ns = max(self._last_ns, used_ns)

    def restart(self) -> None:
        """Add up what the process had used when it was last read; the next one counts from 0."""
        self._ended_ns += self._last_ns
        self._last_ns = 0
