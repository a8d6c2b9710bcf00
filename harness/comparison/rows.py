"""Every metric of every level with intervals, and its ratio to the baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import HarnessError
from ..metrics import METRICS, Frame, Metric, Observation
from ..records import Cell
from .factors import FACTORS, Factor
from .listed import Difference, listed
from .match import Matched, matched
from .row import Row
from .segments import over_segments

TABLES = ("requests", "spans", "memory", "billing")

Observations = Mapping[str, Observation | None]


@dataclass(frozen=True, slots=True)
class Comparison:
    """``groups``: the rows of one table each. ``segments``: rows over all segments of a load, if a
    run keeps the requests of the first segment only. ``differences``: other allowed differences of
    the levels, if the factor lists them or they come from one run."""

    baseline: str | None
    factor: Factor
    groups: tuple[tuple[Row, ...], ...]
    segments: tuple[tuple[Row, ...], ...] = ()
    differences: tuple[Difference, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "baseline": self.baseline,
            "factor": self.factor.name,
            "rows": _as_dicts(self.groups),
            "segments": _as_dicts(self.segments),
            "differences": [each.as_dict() for each in self.differences],
        }


def _as_dicts(groups: Sequence[Sequence[Row]]) -> list[dict[str, Any]]:
    return [row.as_dict() for group in groups for row in group]


def compare(
    cells: Sequence[Cell],
    baseline: str | None = None,
    chosen: Factor = FACTORS["system"],
    *,
    strict: bool = True,
    metrics: Sequence[Metric] = METRICS,
) -> Comparison:
    """Compare cells. ``baseline``: a level of the factor, by default the last; ratios refer to it.
    Raises ``HarnessError`` if cells differ outside the factor. Not ``strict``: cells of one run, of
    which some differences are allowed and listed (``match.ONE_RUN``)."""
    if not cells:
        raise HarnessError("nothing to compare: the runs hold no finished cell")
    groups = matched(cells, chosen, strict=strict)
    levels = list(dict.fromkeys(entry.level for group in groups for entry in group))
    if baseline is not None and baseline not in levels:
        raise HarnessError(f"--baseline {baseline!r} is not among {', '.join(levels)}")
    against = baseline or levels[-1]
    return Comparison(
        against,
        chosen,
        tuple(tuple(_rows(group, against, metrics)) for group in groups),
        tuple(tuple(rows) for group in groups if (rows := over_segments(group, against))),
        listed(groups, chosen, strict=strict),
    )


def _rows(group: Sequence[Matched], baseline: str, metrics: Sequence[Metric]) -> list[Row]:
    seen = {entry.level: _observe(entry, metrics) for entry in group}
    base = next((entry for entry in group if entry.level == baseline), None)
    rows: list[Row] = []
    for entry in group:
        against = {} if base is None or base is entry else seen[base.level]
        paired = base is not None and _same_schedules(entry, base)
        for metric in metrics:
            ours, theirs = seen[entry.level][metric.name], against.get(metric.name)
            if ours is not None:
                rows += _rows_of(entry, metric, ours, theirs, paired)
    return rows


def _same_schedules(entry: Matched, base: Matched) -> bool:
    ours, theirs = ([c.manifest.schedule_sha256 for c in each.cells] for each in (entry, base))
    return ours == theirs


def _observe(entry: Matched, metrics: Sequence[Metric]) -> Observations:
    """Process cell by cell, so that only one cell's tables are in memory."""
    cells = [_observe_cell(cell, metrics) for cell in entry.cells]
    return {metric.name: _pooled([cell[metric.name] for cell in cells]) for metric in metrics}


def _observe_cell(cell: Cell, metrics: Sequence[Metric]) -> Observations:
    frame = Frame({name: cell.table(name) for name in TABLES}, cell.summary["duration_s"])
    return {metric.name: metric.observe(frame) for metric in metrics}


def _pooled(seen: Sequence[Observation | None]) -> Observation | None:
    """None if any cell lacks the value: a partial sum would look complete."""
    found = [each for each in seen if each is not None]
    if len(found) < len(seen):
        return None
    return found[0] if len(found) == 1 else type(found[0]).pooled(found)


def _rows_of(
    entry: Matched, metric: Metric, ours: Observation, theirs: Observation | None, paired: bool
) -> Iterator[Row]:
    for part, estimate in ours.estimates.items():
        ratio = None if theirs is None else ours.ratio(theirs, part, paired=paired)
        yield Row(entry, metric, part, estimate, ratio)
