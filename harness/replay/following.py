"""Follows a run by the messages of its driver."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from systems.runtime.links.message import one_line

from ..errors import HarnessError
from .generator import limit
from .messages import Advanced, Done, Ended, Recent, Started, read_line

_START_S = 120.0
"""Until every load worker is ready: one minute to connect, plus time on a loaded machine."""


class Progress(NamedTuple):
    """State of a run: requests that ended (successfully or not), failed ones, and all."""

    done: int
    failed: int
    total: int


class Watcher(Protocol):
    """Follows a run while it goes."""

    def started(self, start_ns: int) -> None:
        """The run's start on ``time.monotonic_ns``; it may be a moment ahead."""

    def ended(self, requests: Sequence[Ended]) -> None:
        """Requests that have ended since the last call."""


class Following:
    """Follows the driver's messages until it ends. A driver that has not finished ``limit_s`` after
    the start of the run is killed, because a stopped process cannot report that it is stopped."""

    def __init__(
        self,
        total: int,
        on_progress: Callable[[Progress], None] | None,
        limit_s: float,
        watcher: Watcher | None = None,
    ) -> None:
        self._watcher = watcher
        self._total, self._on_progress, self._limit_s = total, on_progress, limit_s
        self.start_ns: int | None = None
        """The run's start; None before it."""
        self.end: Done | None = None
        """The driver's last message."""

    def follow(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None, "asked for a pipe"
        timer = limit(process, _START_S)
        try:
            for line in process.stdout:
                match read(line):
                    case Started(start_ns):
                        timer.cancel()
                        timer = limit(process, self._limit_s)
                        self.start_ns = start_ns
                        if self._watcher is not None:
                            self._watcher.started(start_ns)
                    case Recent(requests):
                        if self._watcher is not None:
                            self._watcher.ended(requests)
                    case Advanced(done, failed):
                        self._progress(done, failed)
                    case Done() as end:
                        self.end = end
                        return
        finally:
            timer.cancel()

    @property
    def done(self) -> bool:
        """Whether every record is written."""
        return self.end is not None

    def _progress(self, done: int, failed: int) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(done, failed, self._total))


def read(line: bytes) -> Started | Advanced | Recent | Done:
    """Return a message of the driver. Raise ``HarnessError`` if it is not one."""
    try:
        return read_line(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise HarnessError(
            f"replay: the load generator sent an invalid message: {one_line(error)}"
        ) from error
