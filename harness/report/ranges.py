"""Texts that differ in their numbers only, as one text."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?")
"""Not one within a word: p50 and p99 are different things."""


def skeleton(text: str) -> str:
    """Return ``text`` without the values of its numbers."""
    return _NUMBER.sub("0", text)


def ranged(texts: Sequence[str]) -> str:
    """Return texts of one skeleton as one, with the least and the greatest of numbers that differ:
    ``30.7–40.4 µs``."""
    numbers = zip(*map(_NUMBER.findall, texts), strict=True)
    found = map(_range, numbers)
    return _NUMBER.sub(lambda _: next(found), texts[0])


def _range(numbers: Sequence[str]) -> str:
    ordered = sorted(set(numbers), key=lambda number: float(number.replace(",", "")))
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]}–{ordered[-1]}"
