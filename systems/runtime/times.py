"""Times that other processes state, held to what was observed here.

An instance may be a tenant's by now. What it says of time (whole numbers, see messages.py) counts
only between when it was asked and when its answer was heard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


def clamp(t_ns: int, earliest_ns: int, latest_ns: int) -> int:
    return max(earliest_ns, min(t_ns, latest_ns))


@dataclass(frozen=True, slots=True)
class Step:
    """A step of an engine: when its process says that it began (None: it does not say) and ended,
    neither later than ``heard_ns``, when this was heard."""

    start_ns: int | None
    end_ns: int
    heard_ns: int

    @classmethod
    def of(cls, start_ns: int | None, end_ns: int, heard_ns: int) -> Self:
        """From the times that a message states."""
        end_ns = min(end_ns, heard_ns)
        return cls(None if start_ns is None else min(start_ns, end_ns), end_ns, heard_ns)

    @property
    def took_ns(self) -> int | None:
        return None if self.start_ns is None else self.end_ns - self.start_ns
