"""Durations drawn from the distributions of a profile's numbers, by named random streams."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field

from .number import Number

_BITS = 53


@dataclass(slots=True)
class Draws:
    """Draws are numbered by what takes time and for whom (the third fork of f0, the prefill of
    request 7), and each depends on ``key`` and these names alone. So two systems under one key,
    which are compared in pairs, draw the same for the same; and what one does more often moves no
    other draw. ``key``: None: every duration is its number's value."""

    key: str | None = None
    _done: Counter[tuple[str, str]] = field(default_factory=Counter)

    def ns(self, number: Number, what: str, whose: str) -> float:
        """Return the next duration of ``what`` for ``whose``, in ns."""
        return number.value * 1e9 * self.factor(number, what, whose)

    def factor(self, number: Number, what: str, whose: str) -> float:
        """Return the next duration in parts of the number's value."""
        if self.key is None or number.spread is None:
            return 1.0
        self._done[what, whose] += 1
        return number.quantile(self._uniform(what, whose)) / number.value

    def _uniform(self, what: str, whose: str) -> float:
        """Return a value in [0, 1) that is the same on every machine."""
        name = "\x1f".join((str(self.key), what, whose, str(self._done[what, whose])))
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        return (int.from_bytes(digest, "little") >> (64 - _BITS)) / (1 << _BITS)
