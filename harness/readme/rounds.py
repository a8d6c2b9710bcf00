"""The table of loads that were sent on several occasions: each value once for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..comparison import Row, compare, metrics_of, require
from ..records import open_run
from ..report.grid import MISSING
from ..report.numbers import shown
from .block import Block

_Found = dict[tuple[str, str, str], Row]
"""By workload, system and metric."""


def rounds(block: Block, reference: Path) -> str:
    """A row per workload and system, a column per metric of ``rows``, under its title of ``heads``.
    A cell has the value in each of ``records``, in their order."""
    found = [_read(block, reference / record) for record in block.records]
    lines = [["", "", *block.heads], ["---", "---", *("--:" for _ in block.heads)]]
    for workload in block.workloads:
        title = workload
        for system in block.systems:
            values = (_values(found, (workload, system, metric)) for metric in block.rows)
            lines.append([title, system, *values])
            title = ""
    links = [block.model_copy(update={"record": each}).where for each in block.records]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"{' / '.join(links)}:\n\n{table}"


def _read(block: Block, folder: Path) -> _Found:
    cells = open_run(folder).cells()
    found = compare(cells, None, strict=False, metrics=metrics_of(block.rows))
    require(found, block.rows, f"block {block.name}: rows", whole=True)
    rows = [row for group in found.groups for row in group]
    return {(row.entry.workload, row.entry.system, row.name): row for row in rows}


def _values(found: Sequence[_Found], key: tuple[str, str, str]) -> str:
    return " / ".join(_shown(each.get(key)) for each in found)


def _shown(row: Row | None) -> str:
    if row is None or row.estimate.value is None:
        return MISSING
    return shown(row.estimate.value, None, row.metric.unit)
