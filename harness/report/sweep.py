"""The numbers of a run's sweep, which the HTML page draws over one of its axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .grid import label
from .numbers import scale_of

if TYPE_CHECKING:
    from ..comparison import Comparison, Row
    from ..records import Run


def sweep_data(run: Run, comparison: Comparison) -> Iterator[dict[str, Any]]:
    """Yield a number per system, workload, point and metric, in the units of the tables; nothing
    without a sweep."""
    for group in comparison.groups:
        for row in group:
            if row.entry.cells[0].manifest.sweep and row.estimate.value is not None:
                yield _number(run, row)


def _number(run: Run, row: Row) -> dict[str, Any]:
    first, scale = row.entry.cells[0], scale_of(row.metric.unit)
    low, high = row.estimate.ci95 or (None, None)
    value, low, high = (
        None if each is None else each * scale for each in (row.estimate.value, low, high)
    )
    return {
        "run": run.id,
        "system": row.entry.system,
        "workload": first.workload_label,
        "point": dict(first.manifest.sweep or {}),
        "metric": label(row),
        "value": value,
        "low": low,
        "high": high,
    }
