"""Sums shared copies again and again where they lie, and notices one that changed.

Each sum is made by a process of its own (:mod:`.auditor`), one at a time; on a card it holds a CUDA
context for as long as that takes. A copy is held against the sum known last, at first the
loader's, made when it had filled the copy. What changes after the last audit is not noticed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from systems.runtime.channel import Message
from systems.runtime.journal import Journal

from ...core.artifacts import CopyKey


@dataclass(frozen=True, slots=True)
class Sum:
    """A checksum, and when the copy was read for it."""

    checksum: int
    start_ns: int
    end_ns: int

    @classmethod
    def of(cls, message: Message) -> Sum | None:
        if "checksum" not in message:
            return None
        return cls(message["checksum"], message["start_ns"], message["end_ns"])


@dataclass(frozen=True, slots=True)
class Audit:
    """A copy, summed again: ``now`` is None where that failed, for ``reason``."""

    copy: CopyKey
    last: Sum
    now: Sum | None
    reason: str = ""

    @property
    def changed(self) -> bool:
        return self.now is not None and self.now.checksum != self.last.checksum


class Summed(Protocol):
    """A shared copy; one that is not complete has no sum."""

    sum: Sum | None


Start = Callable[[CopyKey, Callable[[Message], None], Callable[[str], None]], None]
"""Has a copy summed: what the auditor says, and (with why) its end."""


class Audits:
    """Every ``every_s`` seconds all of ``copies``, unless the last round still goes on."""

    def __init__(
        self,
        every_s: float,
        copies: Mapping[CopyKey, Summed],
        start: Start,
        report: Callable[[Audit], None],
    ) -> None:
        self._every_s = every_s
        self._copies = copies
        self._start = start
        self._report = report
        self._todo: deque[CopyKey] = deque()
        self._at_work = False
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(every_s, self._round)

    def close(self) -> None:
        """No more; an auditor still at work counts for nothing."""
        self._timer.cancel()
        self._todo.clear()
        self._closed = True

    def _round(self) -> None:
        self._timer = self._loop.call_later(self._every_s, self._round)
        if not self._at_work:
            self._todo.extend(self._copies)
            self._next()

    def _next(self) -> None:
        self._at_work = False
        while self._todo and not self._at_work:
            key = self._todo.popleft()
            copy = self._copies.get(key)
            if copy is not None and copy.sum is not None:
                self._audit(key, copy, copy.sum)

    def _audit(self, key: CopyKey, copy: Summed, last: Sum) -> None:
        self._at_work = True
        found: list[Message] = []

        def ended(why: str) -> None:
            # A copy that was dropped meanwhile is nobody's any more.
            if self._copies.get(key) is copy and not self._closed:
                self._conclude(key, copy, last, found, why)
            self._next()

        try:
            self._start(key, found.append, ended)
        except OSError as error:
            ended(str(error))

    def _conclude(
        self, key: CopyKey, copy: Summed, last: Sum, found: Iterable[Message], why: str
    ) -> None:
        message = next(iter(found), {})
        now = Sum.of(message)
        copy.sum = now or last
        self._report(Audit(key, last, now, "" if now else message.get("reason", why)))


class Account:
    """Of a run's audits, in its journal: how many there were, and each that is a problem."""

    def __init__(self, journal: Journal, *, audited: bool) -> None:
        self._journal = journal
        self._counts = {"audits": 0, "audits_changed": 0, "audits_failed": 0}
        if audited:
            self._write()

    def take(self, audit: Audit) -> None:
        self._counts["audits"] += audit.now is not None
        self._counts["audits_changed"] += audit.changed
        self._counts["audits_failed"] += audit.now is None
        self._write()
        if audit.changed or audit.now is None:
            self._journal.problem(problem(audit, datetime.now(UTC), time.monotonic_ns()))

    def _write(self) -> None:
        for name, count in self._counts.items():
            self._journal.measured(name, count)


def problem(audit: Audit, at: datetime, at_ns: int) -> str:
    """One line; ``at`` and ``at_ns`` are one moment, told by the calendar and by the clock."""

    def when(t_ns: int) -> str:
        moment = at - timedelta(microseconds=(at_ns - t_ns) / 1e3)
        return moment.isoformat(timespec="milliseconds")

    what = f"audit: backbone {audit.copy.backbone} on {audit.copy.device}"
    if audit.now is None:
        return f"{what} could not be summed: {audit.reason}; last summed {when(audit.last.end_ns)}"
    return f"{what} changed between {when(audit.last.start_ns)} and {when(audit.now.end_ns)}"
