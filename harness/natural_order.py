"""The order of names that hold numbers."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"(\d+(?:\.\d+)?)")


def natural(name: str) -> list[str | float]:
    """Return a key that sorts the numbers within names by value: text and numbers, in turn."""
    parts = _NUMBER.split(name)
    return [float(part) if index % 2 else part for index, part in enumerate(parts)]
