"""The table of many systems: a row for each, with its metrics and their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..comparison import Row, compare, metrics_of, require
from ..records import open_run
from ..report.brief import BRIEF
from ..report.grid import MISSING, label
from ..report.numbers import shown
from .block import Block
from .comparison import about, names_of, warnings_of


def systems(block: Block, reference: Path) -> str:
    """A table per workload. ``heads``: column titles, if those of the metrics are too long."""
    cells = open_run(reference / block.record).cells()
    found = compare(cells, None, strict=False, metrics=metrics_of(block.rows or BRIEF))
    require(found, block.rows, f"block {block.name}: rows", whole=True)
    groups = {group[0].entry.workload: group for group in found.groups}
    names = block.workloads or tuple(groups)
    return "\n".join(_table(block, groups[name]) for name in names)


def _table(block: Block, group: Sequence[Row]) -> str:
    there = list(dict.fromkeys(row.entry.system for row in group))
    listed = [system for system in block.systems or there if system in there]
    rows = {(row.name, row.entry.system): row for row in group}
    titles = {row.name: label(row) for row in group}
    heads = block.heads or [titles[name] for name in block.rows]
    lines = [["", *heads], ["---", *("--:" for _ in heads)]]
    names = names_of(group)
    lines += [
        [names[each], *(_cell(rows.get((name, each))) for name in block.rows)] for each in listed
    ]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    told = "".join(f"\nWarning: {each}.\n" for each in warnings_of(group, listed))
    return f"*{group[0].entry.workload}*, {about(group, block)}:\n\n{table}{told}"


def _cell(row: Row | None) -> str:
    if row is None or row.estimate.value is None:
        return MISSING
    return shown(row.estimate.value, row.estimate.ci95, row.metric.unit)
