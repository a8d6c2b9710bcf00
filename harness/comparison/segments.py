"""Rows over all segments of a load, if a run keeps the requests of the first segment only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ..metrics import METRICS, metric
from ..metrics.observation import VALUE, Total
from ..records.segments import MEANS, beside
from .match import Matched
from .row import Row

Numbers = Mapping[str, Total]
FEWEST = 2


def over_segments(group: Sequence[Matched], baseline: str) -> list[Row]:
    """Return a row per level and stored number: its mean over the segments. Empty if all requests
    are stored, or if the levels have different segments."""
    first = group[0].segments
    if len(first) < FEWEST or any(entry.segments != first for entry in group):
        return []
    numbers = {entry.level: _numbers(entry) for entry in group}
    return [row for entry in group for row in _rows(entry, numbers, baseline)]


def _rows(entry: Matched, numbers: Mapping[str, Numbers], baseline: str) -> Iterator[Row]:
    against = numbers.get(baseline, {}) if entry.level != baseline else {}
    for name, total in numbers[entry.level].items():
        base = against.get(name)
        ratio = None if base is None else total.ratio(base, VALUE, paired=True)
        part = "mean" if name in MEANS else VALUE
        yield Row(entry, metric(name), part, total.estimates[VALUE], ratio)


def _numbers(entry: Matched) -> Numbers:
    """The numbers by segment that every segment has."""
    frame = beside(entry.cells[0]).sort_values("segment")
    values = {str(name): tuple(part) for name, part in frame.groupby("metric")["value"]}
    whole = {name: each for name, each in values.items() if not np.isnan(each).any()}
    return {each.name: Total(whole[each.name]) for each in METRICS if each.name in whole}
