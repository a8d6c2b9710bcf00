"""Limits the times in messages of other processes to the times observed by the gateway.

A tenant may control an instance. Its times (integers, see messages.py) are clamped to the interval
from the gateway's request to the receipt of the instance's message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


def clamp(t_ns: int, earliest_ns: int, latest_ns: int) -> int:
    return max(earliest_ns, min(t_ns, latest_ns))


@dataclass(frozen=True, slots=True)
class Step:
    """A step of an engine: its start (None: not reported) and its end as reported by its process,
    neither later than ``heard_ns``, when the gateway received the report."""

    start_ns: int | None
    end_ns: int
    heard_ns: int

    @classmethod
    def of(cls, start_ns: int | None, end_ns: int, heard_ns: int) -> Self:
        """Make a step from the times in a message."""
        end_ns = min(end_ns, heard_ns)
        return cls(None if start_ns is None else min(start_ns, end_ns), end_ns, heard_ns)

    @property
    def took_ns(self) -> int | None:
        return None if self.start_ns is None else self.end_ns - self.start_ns
