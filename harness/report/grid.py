"""A table of a comparison as text, before a format is chosen: a line per metric, a column per level
of the factor, the baseline last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .numbers import shown, unit_of
from .title import remarks, title

if TYPE_CHECKING:
    from ..comparison import Comparison, Row

MISSING = "—"


@dataclass(frozen=True, slots=True)
class Line:
    """``counts``, ``values``, ``ratios``: by column; sample sizes (None where there is no value),
    numbers with their intervals, and their ratios to the baseline, empty where there is none."""

    label: str
    counts: tuple[int | None, ...]
    values: tuple[str, ...]
    ratios: tuple[str, ...]

    def columns(self, start: int, stop: int) -> Line:
        """Keep the columns from ``start`` to before ``stop``."""
        part = slice(start, stop)
        return Line(self.label, self.counts[part], self.values[part], self.ratios[part])

    @property
    def n(self) -> str:
        """The sample size of the columns that have a value, or the least and the greatest."""
        found = {count for count in self.counts if count is not None}
        ends = sorted({min(found), max(found)}) if found else ()
        return "–".join(f"{count:,}" for count in ends) or MISSING


@dataclass(frozen=True, slots=True)
class Grid:
    title: str
    remarks: tuple[str, ...]
    heads: tuple[str, ...]
    lines: tuple[Line, ...]

    def columns(self, start: int, stop: int) -> Grid:
        """Keep the columns from ``start`` to before ``stop``, and the lines that have a value."""
        lines = tuple(line.columns(start, stop) for line in self.lines)
        kept = tuple(line for line in lines if set(line.values) != {MISSING})
        return Grid(self.title, self.remarks, self.heads[start:stop], kept)


def grids(comparison: Comparison) -> Iterator[Grid]:
    """Yield a grid per table that has a number: those over all segments of a load first."""
    for group in (*comparison.segments, *comparison.groups):
        grid = _grid(group, comparison)
        known = grid.columns(0, len(grid.heads))
        if known.lines:
            yield known


def label(row: Row) -> str:
    """Title of a row's metric, part and unit."""
    part = "" if row.part == "value" else f" {row.part}"
    return f"{row.metric.title}{part}, {unit_of(row.metric.unit)}"


def _grid(group: Sequence[Row], comparison: Comparison) -> Grid:
    entries = {row.entry.level: row.entry for row in group}
    levels = sorted(entries, key=lambda level: level == comparison.baseline)
    heads = (level if entries[level].valid else f"{level} (INVALID)" for level in levels)
    rows: dict[str, dict[str, Row]] = {}
    for row in group:
        rows.setdefault(row.name, {})[row.entry.level] = row
    lines = (_line([found.get(level) for level in levels]) for found in rows.values())
    return Grid(title(group, comparison), tuple(remarks(group)), tuple(heads), tuple(lines))


def _line(rows: Sequence[Row | None]) -> Line:
    return Line(
        next(label(row) for row in rows if row is not None),
        tuple(_count(row) for row in rows),
        tuple(_value(row) for row in rows),
        tuple(_ratio(row) for row in rows),
    )


def _count(row: Row | None) -> int | None:
    return None if row is None or row.estimate.value is None else row.estimate.n


def _value(row: Row | None) -> str:
    if row is None or row.estimate.value is None:
        return MISSING
    return shown(row.estimate.value, row.estimate.ci95, row.metric.unit)


def _ratio(row: Row | None) -> str:
    if row is None or row.ratio is None or row.ratio.value is None:
        return ""
    return f"÷ {shown(row.ratio.value, row.ratio.ci95)}"
