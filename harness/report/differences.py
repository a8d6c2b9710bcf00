"""The table of other differences between the levels of a factor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .table import MISSING

if TYPE_CHECKING:
    from rich.table import Table

    from ..compare import Comparison, Difference


def differences_table(comparison: Comparison) -> Table:
    """One row per system and manifest key, one column per level."""
    from rich.table import Table

    title = f"what differs with {comparison.factor.name}"
    table = Table(title=title, title_style="bold", box=None, pad_edge=False)
    levels = _levels(comparison.differences)
    for head in ("", "", *levels):
        table.add_column(head, overflow="fold")
    for each in comparison.differences:
        values = (_shown(each.values.get(level)) for level in levels)
        table.add_row(each.system, each.key, *values)
    return table


def _levels(differences: Sequence[Difference]) -> list[str]:
    return list(dict.fromkeys(level for each in differences for level in each.values))


def _shown(value: Any) -> str:
    return MISSING if value is None else value if isinstance(value, str) else json.dumps(value)
