"""Computes checksums of shared copies periodically, in place, and reports any that changed.

Each checksum is computed by a separate process (:mod:`.auditor`), one at a time; on a GPU it holds
a CUDA context meanwhile. It is compared with the previous one; the first is the loader's, computed
after it had filled the copy. Changes after the last audit are not detected.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from systems.runtime.incoming import BadMessageError
from systems.runtime.journal import Journal
from systems.runtime.messages import Failed, Message

from ...core.artifacts import CopyKey
from ..messages import CopySum, Summed


@dataclass(frozen=True, slots=True)
class Sum:
    """A checksum, and the time in which the copy was read for it."""

    checksum: int
    start_ns: int
    end_ns: int

    @classmethod
    def of(cls, told: CopySum) -> Sum:
        return cls(told.checksum, told.start_ns, told.end_ns)


@dataclass(frozen=True, slots=True)
class Audit:
    """A repeated checksum of a copy; ``now`` is None if it failed, for ``reason``."""

    copy: CopyKey
    last: Sum
    now: Sum | None
    reason: str = ""

    @property
    def changed(self) -> bool:
        return self.now is not None and self.now.checksum != self.last.checksum


class SummedCopy(Protocol):
    """A shared copy; one that is not complete has no checksum."""

    sum: Sum | None


Start = Callable[[CopyKey, Callable[[Message], None], Callable[[str], None]], None]
"""Starts an auditor for a copy; passes on its messages, and the reason of its end."""


class Audits:
    """Audits all ``copies`` every ``every_s`` seconds, unless the last round is still running."""

    def __init__(
        self,
        every_s: float,
        copies: Mapping[CopyKey, SummedCopy],
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
        """Stop auditing; ignore an auditor that still runs."""
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

    def _audit(self, key: CopyKey, copy: SummedCopy, last: Sum) -> None:
        self._at_work = True
        found: list[Message] = []

        def ended(why: str) -> None:
            # Ignore a copy that was dropped in the meantime.
            if self._copies.get(key) is copy and not self._closed:
                self._conclude(key, copy, last, found, why)
            self._next()

        def said(message: Message) -> None:
            if found:
                raise BadMessageError("a second result")
            found.append(message)

        try:
            self._start(key, said, ended)
        except OSError as error:
            ended(str(error))

    def _conclude(
        self, key: CopyKey, copy: SummedCopy, last: Sum, found: Iterable[Message], why: str
    ) -> None:
        now, reason = _outcome(found, why)
        copy.sum = now or last
        self._report(Audit(key, last, now, reason))


def _outcome(found: Iterable[Message], why: str) -> tuple[Sum | None, str]:
    """Return the sum, or the reason that there is none: from the auditor's first message, else
    ``why`` it ended."""
    match next(iter(found), None):
        case Summed(sum=told):
            return Sum.of(told), ""
        case Failed(reason=reason):
            return None, reason
    return None, why


class Account:
    """Writes a run's audits to its journal: their number, and each that found a problem."""

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
    """Return one line; ``at`` and ``at_ns`` are the same moment by calendar and by clock."""

    def when(t_ns: int) -> str:
        moment = at - timedelta(microseconds=(at_ns - t_ns) / 1e3)
        return moment.isoformat(timespec="milliseconds")

    what = f"audit: backbone {audit.copy.backbone} on {audit.copy.device}"
    if audit.now is None:
        return f"{what} could not be summed: {audit.reason}; last summed {when(audit.last.end_ns)}"
    return f"{what} changed between {when(audit.last.start_ns)} and {when(audit.now.end_ns)}"
