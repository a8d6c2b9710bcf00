"""Compares runs as a DataFrame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..comparison import compare_runs, only, open_runs, require
from ..report.formats import flat, rows_of
from .frames import place_of
from .run_data import RunData

if TYPE_CHECKING:
    from ..comparison import Row


def compare(
    *runs: RunData | str | Path,
    baseline: str | None = None,
    factor: str | None = None,
    metrics: Sequence[str] | str | None = None,
) -> pd.DataFrame:
    """Compare one or several runs as ``slbench compare`` does. Return one row per system, workload,
    point of a sweep and metric: ``value`` with its 95 % interval (``ci95_low``, ``ci95_high``) in
    the units of METRICS.md, ``n``, and the ``ratio`` to the baseline with its interval; NaN where
    there is none.

    ``metrics``: such as ``"ttft_s.p95"`` or ``["ttft_s.p95", "cost_usd"]``; None: all. ``factor``:
    what may differ between the runs; None: the usual one. Raise ``HarnessError`` if runs cannot be
    compared or do not have a metric."""
    names = [metrics] if isinstance(metrics, str) else metrics
    found = compare_runs(open_runs([_name(each) for each in runs]), baseline, factor, names)
    if names is not None:
        require(found, names, "metrics:")
        found = only(found, names)
    return pd.DataFrame([{"over": over, **_row(row)} for over, row in rows_of(found)])


def _name(run: RunData | str | Path) -> str:
    return str(run.path if isinstance(run, RunData) else run)


def _row(row: Row) -> dict[str, Any]:
    """The workload and the point of the sweep as in the frames of a run."""
    first = row.entry.cells[0]
    place = place_of(first)
    point = {key: place[key] for key in first.manifest.sweep or ()}
    return {**flat(row), "workload": place["workload"], **point}
