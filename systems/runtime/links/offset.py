"""Another machine's clock against ours, by questions and answers.

An answer that left at t by the other clock was sent between our question and its arrival: half the
time between the two bounds the error, so the quickest exchange tells most (Cristian 1989). Clocks
drift by parts in a million: only exchanges of the last minute count.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import NamedTuple

from .message import Ping, Pong

WINDOW = 64


class Exchange(NamedTuple):
    """``offset_ns``: their clock less ours, right to ``error_ns``."""

    offset_ns: int
    error_ns: int

    @classmethod
    def of(cls, asked_ns: int, theirs_ns: int, heard_ns: int) -> Exchange:
        middle, error_ns = (asked_ns + heard_ns) // 2, (heard_ns - asked_ns + 1) // 2
        return cls(theirs_ns - middle, error_ns)


class ClockOffset:
    """The best of the last exchanges. ``same``: it is known to be our very clock, so that nothing
    is to be corrected and an offset that is measured all the same is a check."""

    def __init__(self, *, same: bool = False, window: int = WINDOW) -> None:
        self.same = same
        self._exchanges: deque[Exchange] = deque(maxlen=window)

    def heard(self, asked_ns: int, theirs_ns: int, heard_ns: int) -> None:
        self._exchanges.append(Exchange.of(asked_ns, theirs_ns, heard_ns))

    def __len__(self) -> int:
        return len(self._exchanges)

    @property
    def measured(self) -> Exchange:
        """There must have been an exchange."""
        return min(self._exchanges, key=lambda exchange: exchange.error_ns)

    def ours(self, theirs_ns: int) -> int:
        """A time of theirs on our clock."""
        return theirs_ns if self.same else theirs_ns - self.measured.offset_ns


class Questions:
    """Asks the other end for its time. What is not an answer to the oldest open question is
    refused, since it would shift the clock."""

    def __init__(self, clock: ClockOffset) -> None:
        self.clock = clock
        self._open: deque[int] = deque()

    def __len__(self) -> int:
        """Questions without an answer so far."""
        return len(self._open)

    def ask(self, now_ns: int) -> Ping:
        self._open.append(now_ns)
        return Ping(now_ns)

    def answered(self, pong: Pong, now_ns: int) -> None:
        """``ValueError`` for an answer to another question."""
        if not self._open or self._open[0] != pong.asked_ns:
            raise ValueError("an answer to a question that was not asked")
        self.clock.heard(self._open.popleft(), pong.t_ns, now_ns)


def clock_id() -> str:
    """Of this machine's CLOCK_MONOTONIC: the same wherever it is the same clock, which counts from
    the boot, and may be shifted for a time namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    try:
        namespace = Path("/proc/self/ns/time").readlink()
    except OSError:
        return boot
    return f"{boot} {namespace}"
