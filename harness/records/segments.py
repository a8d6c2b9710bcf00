"""A run's cells in numbers, a row a segment: what is said of a system over several segments of a
load, each cell being one. Kept beside the cells where not all of them are (``segments.parquet``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .files import read_kept
from .samples import samples

if TYPE_CHECKING:
    import pandas as pd

    from .cell import Cell
    from .run import Run

FILE = "segments.parquet"
MEANS = ("ttft_from_schedule_s", "tpot_s", "e2e_s")
TOTALS = ("cost_usd", "cost_effectiveness")
ALL = ""
"""In the column ``backbone``: every request of the cell."""
MOST_STEPS = 500
"""Of a segment's distribution of TTFT that are kept; of more, as many evenly over the requests."""


def segments(run: Run) -> pd.DataFrame:
    """A row a system, workload, segment (seed and repeat), backbone and metric: ``value``, the
    mean over its requests; ``n`` of them. ``ttft_within`` is the share of requests with a TTFT of
    at most ``at`` seconds, a row wherever it rises. Segments of one
    number were sent the same requests."""
    import pandas as pd

    kept = run.path / FILE
    if kept.exists():
        found: pd.DataFrame = read_kept(kept).to_pandas()
        return found
    return pd.DataFrame([row for cell in distinct(run.cells()) for row in rows(cell)])


def distinct(cells: Sequence[Cell]) -> list[Cell]:
    """Those that are segments: a cell that came out as one before adds no other."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.system, cell.workload), []).append(cell)
    return [cell for group in groups.values() for cell in samples(group)]


def segment_names(cell: Cell) -> tuple[str, ...]:
    """All segments of the cell's load, where its run keeps numbers of each; else empty."""
    if not _kept(cell).exists():
        return ()
    return tuple(sorted(set(beside(cell)["segment"])))


def beside(cell: Cell) -> pd.DataFrame:
    """Of each segment of the cell's load under its system, the numbers over all requests."""
    frame: pd.DataFrame = read_kept(_kept(cell)).to_pandas()
    mine = (frame["system"] == cell.system) & (frame["workload"] == cell.workload)
    return frame[mine & (frame["backbone"] == ALL)]


def _kept(cell: Cell) -> Path:
    return cell.path.parent.parent.parent / FILE


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
        for at, share in _within(requests):
            yield _row(backbone, "ttft_within", share, len(requests), at)


def _within(requests: pd.DataFrame) -> Iterator[tuple[float, float]]:
    """From a share of zero at zero seconds to that of all requests that had a first token."""
    there = requests["ttft_from_schedule_s"].dropna().to_numpy(dtype=np.float64)
    at, counts = np.unique(there, return_counts=True)
    shares = counts.cumsum() / len(requests)
    yield 0.0, 0.0
    for step in evenly(len(at), MOST_STEPS):
        yield float(at[step]), float(shares[step])


def evenly(count: int, most: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Indices of at most ``most`` out of ``count``, the first and the last among them."""
    return np.unique(np.linspace(0, max(count - 1, 0), min(count, most)).astype(np.int64))


def _row(
    backbone: str, metric: str, value: float | None, n: int, at: float | None = None
) -> dict[str, Any]:
    return {"backbone": backbone, "metric": metric, "at": at, "value": value, "n": n}
