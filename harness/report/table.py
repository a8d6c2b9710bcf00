"""Comparison tables for a terminal: no column is narrower than its text. Columns that do not fit
beside each other are in blocks below each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..records import Cell
from .brief import brief
from .grid import Grid, grids

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table
    from rich.text import Text

    from ..comparison import Comparison

_UNBOUNDED = 10_000


def comparison_table(cells: Sequence[Cell], baseline: str, width: int) -> Group:
    """Build the tables of one workload of a run, at most ``width`` characters wide."""
    from rich.console import Group

    known = baseline if any(cell.system == baseline for cell in cells) else None
    return Group(*tables(brief(cells, known), width))


def tables(comparison: Comparison, width: int) -> Iterator[RenderableType]:
    """Yield titles, tables and remarks. A table has at most ``width`` characters, unless one column
    alone does not fit."""
    from rich.text import Text

    for grid in grids(comparison):
        yield Text(grid.title, "bold")
        yield from _blocks(grid, width)
        yield Text("\n".join((*grid.remarks, "")), "dim")


def _blocks(grid: Grid, width: int) -> Iterator[Table]:
    """Yield tables of as many columns as fit, at least one each."""
    start, end = 0, len(grid.heads)
    while start < end:
        for stop in range(end, start, -1):
            table = _table(grid.columns(start, stop))
            if table.width is not None and table.width <= width:
                break
        yield table
        start = stop


def _table(grid: Grid) -> Table:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("n", justify="right", style="dim", no_wrap=True)
    for head in grid.heads:
        table.add_column(head, justify="right", no_wrap=True)
    for line in grid.lines:
        table.add_row(line.label, line.n, *map(_cell, line.values, line.ratios))
    # A fixed width, so that a narrow console does not shorten the columns.
    table.width = Console(width=_UNBOUNDED).measure(table).maximum
    return table


def _cell(value: str, ratio: str) -> Text:
    from rich.text import Text

    text = Text(value)
    return text.append(f"\n{ratio}", "dim") if ratio else text
