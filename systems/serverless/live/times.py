"""Times that other processes state, held to what was observed here.

An instance may be a tenant's by now. What it says of time is checked, and counts only between when
it was asked and when its answer was heard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from .wire import Message

_BOUND = 1 << 63
"""Of times in ns: they are kept in columns of 64 bits."""


class MalformedError(ValueError):
    """A message that no process of ours sends."""


def checked_ns(message: Message, name: str) -> int:
    """The time in ns that a message has under ``name``. Raises :class:`MalformedError` for
    anything but a whole number from 0 to 2⁶³ - 1."""
    said: Any = message.get(name)
    if type(said) is not int or not 0 <= said < _BOUND:
        raise MalformedError(f"{name}: {str(said)[:40]!r} is no time in nanoseconds")
    return said


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
    def of(cls, message: Message, heard_ns: int) -> Self:
        """Raises :class:`MalformedError`."""
        end_ns = min(checked_ns(message, "t_ns"), heard_ns)
        if message.get("start_ns") is None:
            return cls(None, end_ns, heard_ns)
        return cls(min(checked_ns(message, "start_ns"), end_ns), end_ns, heard_ns)

    @property
    def took_ns(self) -> int | None:
        return None if self.start_ns is None else self.end_ns - self.start_ns
