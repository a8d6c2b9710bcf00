"""Estimates the offset of another machine's clock by pings.

The other machine reads its clock between our ping and the receipt of its pong. Half of that round
trip bounds the error, so the fastest exchange is the most accurate (Cristian 1989). Clocks drift by
parts in a million, so only exchanges of the last minute count.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import NamedTuple

from .message import Ping, Pong

WINDOW = 64


class Exchange(NamedTuple):
    """``offset_ns``: their clock minus ours, with an error of at most ``error_ns``."""

    offset_ns: int
    error_ns: int

    @classmethod
    def of(cls, asked_ns: int, theirs_ns: int, heard_ns: int) -> Exchange:
        middle, error_ns = (asked_ns + heard_ns) // 2, (heard_ns - asked_ns + 1) // 2
        return cls(theirs_ns - middle, error_ns)


class ClockOffset:
    """The best of the last exchanges. ``same``: both ends use the same clock, so times need no
    correction and the measured offset serves as a check."""

    def __init__(self, *, same: bool = False, window: int = WINDOW) -> None:
        self.same = same
        self._exchanges: deque[Exchange] = deque(maxlen=window)

    def heard(self, asked_ns: int, theirs_ns: int, heard_ns: int) -> None:
        self._exchanges.append(Exchange.of(asked_ns, theirs_ns, heard_ns))

    def __len__(self) -> int:
        return len(self._exchanges)

    @property
    def measured(self) -> Exchange:
        """The exchange with the smallest error; there must be at least one."""
        return min(self._exchanges, key=lambda exchange: exchange.error_ns)

    def ours(self, theirs_ns: int) -> int:
        """Convert a time of their clock to ours."""
        return theirs_ns if self.same else theirs_ns - self.measured.offset_ns


class Questions:
    """Makes pings and checks the pongs. It accepts only a pong that answers the oldest open ping,
    since any other would shift the clock."""

    def __init__(self, clock: ClockOffset) -> None:
        self.clock = clock
        self._open: deque[int] = deque()

    def __len__(self) -> int:
        """Number of open pings."""
        return len(self._open)

    def ask(self, now_ns: int) -> Ping:
        self._open.append(now_ns)
        return Ping(now_ns)

    def answered(self, pong: Pong, now_ns: int) -> None:
        """Take a pong. Raise ``ValueError`` if it does not answer the oldest open ping."""
        if not self._open or self._open[0] != pong.asked_ns:
            raise ValueError("an answer to a question that was not asked")
        self.clock.heard(self._open.popleft(), pong.t_ns, now_ns)


def clock_id() -> str:
    """Identify this machine's CLOCK_MONOTONIC; processes with the same clock get the same text. The
    clock counts from boot, and a time namespace may shift it."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    try:
        namespace = Path("/proc/self/ns/time").readlink()
    except OSError:
        return boot
    return f"{boot} {namespace}"
