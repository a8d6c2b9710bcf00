"""Chooses metrics and rows by name: ``ttft_s`` means all rows of it, ``ttft_s.p95`` one."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..errors import HarnessError
from ..metrics import METRICS, Metric
from .leaves import under
from .row import Row
from .rows import Comparison


def metrics_of(names: Sequence[str]) -> list[Metric]:
    """Return the metrics from which rows of these names come, to compute no others."""
    return [
        each for each in METRICS
        if any(under(name, [each.name]) or under(each.name, [name]) for name in names)
    ]  # fmt: skip


def only(comparison: Comparison, names: Sequence[str]) -> Comparison:
    """Keep the rows of these names, in their order."""
    kept = ([tuple(_chosen(group, names)) for group in part] for part in _parts(comparison))
    groups, segments = (tuple(filter(None, part)) for part in kept)
    return replace(comparison, groups=groups, segments=segments)


def require(
    comparison: Comparison, names: Sequence[str], option: str, *, whole: bool = False
) -> None:
    """Raise ``HarnessError`` for a name that no row has; ``whole``: the name of one row."""
    there = {row.name for part in _parts(comparison) for group in part for row in group}
    for name in names:
        parts = sorted(each for each in there if under(each, [name]))
        if name not in there and (whole or not parts):
            raise HarnessError(f"{option} {name}: {_instead(name, parts, there)}")


def _instead(name: str, parts: Sequence[str], there: set[str]) -> str:
    if parts:
        return f"has several numbers; write one of {', '.join(parts)}"
    metric = next((each.name for each in METRICS if under(name, [each.name])), None)
    if metric and not any(under(each, [metric]) for each in there):
        return "these runs do not have it"
    known = sorted(there | {each.name for each in METRICS})
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known
    return f"not a metric of these runs; did you mean {', '.join(near)}?"


def _chosen(group: Sequence[Row], names: Sequence[str]) -> Iterator[Row]:
    for row_name in dict.fromkeys(n for name in names for n in _under(group, name)):
        yield from (row for row in group if row.name == row_name)


def _under(group: Sequence[Row], name: str) -> Iterator[str]:
    return (row.name for row in group if under(row.name, [name]))


def _parts(comparison: Comparison) -> tuple[Sequence[Sequence[Row]], Sequence[Sequence[Row]]]:
    return comparison.groups, comparison.segments
