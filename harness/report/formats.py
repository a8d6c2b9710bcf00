"""The formats of ``slbench compare``."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .differences import lines
from .grid import Grid, grids

if TYPE_CHECKING:
    from ..comparison import Comparison, Row, Verdict

Verdicts = Sequence["Verdict"]


def _table(comparison: Comparison, _: Verdicts) -> None:
    from rich.console import Console

    from .table import tables

    console = Console()
    for table in tables(comparison, console.width):
        console.print(table, crop=False)
    for line in lines(comparison):
        print(line)


def _markdown(comparison: Comparison, _: Verdicts) -> None:
    print("\n".join(markdown(grid) for grid in grids(comparison)))
    for line in lines(comparison):
        print(f"* {line}")


def markdown(grid: Grid) -> str:
    """Format as a pipe table under its title; the ratio is behind the value."""
    head = ["", "n", *grid.heads]
    rows = [head, ["---", *("--:" for _ in head[1:])]]
    for each in grid.lines:
        cells = zip(each.values, each.ratios, strict=True)
        rows.append([each.label, each.n, *(" ".join(filter(None, cell)) for cell in cells)])
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return "\n".join([f"**{grid.title}**\n", table, *(f"{each}\n" for each in grid.remarks)])


def _csv(comparison: Comparison, _: Verdicts) -> None:
    print(csv_text(comparison), end="")
    for line in lines(comparison):
        print(line, file=sys.stderr)


def csv_text(comparison: Comparison) -> str:
    """A row per number; what is unknown is empty. ``over``: requests, or segments of a load."""
    rows = [{"over": over, **flat(row)} for over, row in rows_of(comparison)]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def rows_of(comparison: Comparison) -> Iterator[tuple[str, Row]]:
    """Yield every row, and what it is over as in ``csv_text``."""
    for over, part in (("segments", comparison.segments), ("requests", comparison.groups)):
        yield from ((over, row) for group in part for row in group)


def flat(row: Row) -> dict[str, Any]:
    """Return the row's numbers, intervals as two each."""
    found: dict[str, Any] = {}
    for key, value in row.as_dict().items():
        if key.endswith("ci95"):
            found |= zip((f"{key}_low", f"{key}_high"), value or (None, None), strict=True)
        else:
            found[key] = value
    return found


def _json(comparison: Comparison, verdicts: Verdicts) -> None:
    judged = [verdict.as_dict() for verdict in verdicts]
    print(json.dumps({**comparison.as_dict(), "verdicts": judged}))


PRINT: dict[str, Callable[[Comparison, Verdicts], None]] = {
    "table": _table,
    "markdown": _markdown,
    "csv": _csv,
    "json": _json,
}
"""Prints a comparison in a format. Verdicts are part of the JSON document only; their lines go to
standard error in every format."""
COMPLETE = ("csv", "json")
"""Formats for machines: they have every metric unless some are named."""
