"""The table of a benchmark's record: a JSON file, read along the paths of its block."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..report.numbers import shown
from .block import Block

ROW = "*"
RATIO = "÷ "
MISSING = "—"
ABOUT = ("card", "date")
"""Keys of a record that are told above its table, where it has them."""


def benchmark(block: Block, reference: Path) -> str:
    """A column for each path of ``rows``, under its title of ``heads``. The steps of a path are
    separated by "/"; ``ROW`` is every key or index there, a row each, and as the last step the key
    itself. A path after ``RATIO`` has the ratios to the first row."""
    record = json.loads((reference / block.record).read_bytes())
    columns = [_column(record, path) for path in block.rows]
    lines = [block.heads, map(_rule, columns), *zip(*columns, strict=True)]
    head = ", ".join([block.where, *(record[key] for key in ABOUT if key in record)])
    return f"{head}:\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _rule(column: Sequence[str]) -> str:
    return "--:" if any(cell[0].isdigit() for cell in column) else "---"


def _column(record: Any, path: str) -> list[str]:
    values = _values(record, path.removeprefix(RATIO).split("/"))
    if path.startswith(RATIO):
        return [f"{value / values[0]:.2f}" for value in values]
    return [_shown(value) for value in values]


def _values(node: Any, steps: Sequence[str]) -> list[Any]:
    """Return one value, or one for each row."""
    if not steps or node is None:
        return [node]
    step, *rest = steps
    if step != ROW:
        return _values(_child(node, step), rest)
    keys = range(len(node)) if isinstance(node, list) else node
    return [_values(node[key], rest)[0] if rest else key for key in keys]


def _child(node: Any, step: str) -> Any:
    return node[int(step)] if isinstance(node, list) else node.get(step)


def _shown(value: Any) -> str:
    """Three significant digits of a measurement; counts and names as they are."""
    if value is None:
        return MISSING
    if isinstance(value, float):
        return shown(value, None)
    return f"{value:,}" if isinstance(value, int) else str(value)
