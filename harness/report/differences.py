"""The differences between the levels of a comparison, a line each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .title import subject

if TYPE_CHECKING:
    from ..comparison import Comparison, Difference


def lines(comparison: Comparison) -> Iterator[str]:
    """Yield a line per difference, a warning unless the factor is expected to have them; and a
    warning per table that lacks a level."""
    prefix = "" if comparison.factor.listed else "warning: "
    for each in comparison.differences:
        yield f"{prefix}{_line(each)}"
    levels = {row.entry.level for group in comparison.groups for row in group}
    for group in comparison.groups:
        there = dict.fromkeys(row.entry.level for row in group)
        if set(there) != levels:
            yield f"warning: {subject(group[0].entry, comparison)}: only in {', '.join(there)}"


def _line(difference: Difference) -> str:
    levels: dict[str, list[str]] = {}
    for level, value in difference.values.items():
        levels.setdefault(_shown(value), []).append(level)
    values = "; ".join(f"{value} ({', '.join(each)})" for value, each in levels.items())
    system = f"{difference.system}: " if difference.system else ""
    return f"{system}{difference.key} differs: {values}"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value)
