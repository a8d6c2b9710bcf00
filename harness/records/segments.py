"""A run's cells in numbers, a row a segment: what is said of a system over several segments of a
load, each cell being one. Kept beside the cells where not all of them are (``segments.parquet``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .files import read_table

if TYPE_CHECKING:
    import pandas as pd

    from .cell import Cell
    from .run import Run

FILE = "segments.parquet"
MEANS = ("ttft_from_schedule_s", "tpot_s", "e2e_s")
TOTALS = ("cost_usd", "cost_effectiveness")
ALL = ""
"""In the column ``backbone``: every request of the cell."""
GRID_S = np.round(np.geomspace(0.05, 500.0, 81), 4)
"""Seconds at which the distribution of TTFT is kept, 20 a decade."""


def segments(run: Run) -> pd.DataFrame:
    """A row a system, workload, segment (seed and repeat), backbone and metric: ``value``, the
    mean over its requests; ``n`` of them. ``ttft_within`` is the share of requests with a TTFT of
    at most ``at`` seconds. Segments of one number were sent the same requests."""
    import pandas as pd

    kept = run.path / FILE
    if kept.exists():
        return read_table(kept).to_pandas()
    return pd.DataFrame([row for cell in run.cells() for row in rows(cell)])


def rows(cell: Cell) -> Iterator[dict[str, Any]]:
    """Those of one cell."""
    about = {"system": cell.system, "workload": cell.workload, "segment": cell.path.name}
    for name in TOTALS:
        yield {**about, **_row(ALL, name, cell.summary[name], cell.summary["n"])}
    requests = cell.requests
    for row in _of(ALL, requests):
        yield {**about, **row}
    for backbone, part in requests.groupby("backbone"):
        for row in _of(str(backbone), part):
            yield {**about, **row}


def _of(backbone: str, requests: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for name in MEANS:
        values = requests[name].dropna()
        yield _row(backbone, name, values.mean() if len(values) else None, len(values))
    yield _row(backbone, "slo_violation_rate", float((~requests["slo_met"]).mean()), len(requests))
    if backbone != ALL:
        ordered = np.sort(requests["ttft_from_schedule_s"].dropna().to_numpy(dtype=np.float64))
        within = np.searchsorted(ordered, GRID_S, side="right") / len(requests)
        for at, share in zip(GRID_S, within, strict=True):
            yield _row(backbone, "ttft_within", float(share), len(requests), float(at))


def _row(
    backbone: str, metric: str, value: float | None, n: int, at: float | None = None
) -> dict[str, Any]:
    return {"backbone": backbone, "metric": metric, "at": at, "value": value, "n": n}
