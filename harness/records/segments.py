"""A run's cells as numbers, one row per segment, to describe a system over several segments of a
load (one cell each). Stored beside the cells if not all are kept (``segments.parquet``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .cell import answered
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
"""In column ``backbone``: all requests of the cell."""
MOST_STEPS = 500
"""Steps stored of a segment's TTFT distribution; of more, this many evenly over the requests."""


def segments(run: Run) -> pd.DataFrame:
    """One row per system, workload, segment (seed and repeat), backbone and metric: ``value`` is
    the mean over ``n`` requests, of a latency over those that were answered. ``ttft_within`` is the
    share of requests with a TTFT of at most ``at`` seconds, one row per step. Equal segments were
    sent the same requests."""
    import pandas as pd

    kept = run.path / FILE
    if kept.exists():
        found: pd.DataFrame = read_kept(kept).to_pandas()
        return found
    return pd.DataFrame([row for cell in distinct(run.cells()) for row in rows(cell, None)])


def distinct(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells that are segments: a cell equal to an earlier one is none."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.system, cell.workload), []).append(cell)
    return [cell for group in groups.values() for cell in samples(group)]


def segment_names(cell: Cell) -> tuple[str, ...]:
    """Names of all segments of the cell's load, if its run stores them; else empty."""
    if not _kept(cell).exists():
        return ()
    return tuple(sorted(set(beside(cell)["segment"])))


def beside(cell: Cell) -> pd.DataFrame:
    """Numbers of each segment over all its requests, for the cell's system and load."""
    frame: pd.DataFrame = read_kept(_kept(cell)).to_pandas()
    mine = (frame["system"] == cell.system) & (frame["workload"] == cell.workload)
    return frame[mine & (frame["backbone"] == ALL)]


def _kept(cell: Cell) -> Path:
    return cell.path.parent.parent.parent / FILE


def rows(cell: Cell, most: int | None = MOST_STEPS) -> Iterator[dict[str, Any]]:
    """Yield the rows of one cell, with at most ``most`` steps of a distribution; None: all."""
    about = {"system": cell.system, "workload": cell.workload, "segment": cell.path.name}
    for name in TOTALS:
        yield {**about, **_row(ALL, name, cell.summary[name], cell.summary["n"])}
    requests = cell.requests
    for row in _of(ALL, requests, most):
        yield {**about, **row}
    for backbone, part in requests.groupby("backbone"):
        for row in _of(str(backbone), part, most):
            yield {**about, **row}


def _of(backbone: str, requests: pd.DataFrame, most: int | None) -> Iterator[dict[str, Any]]:
    for name in MEANS:
        values = answered(requests)[name].dropna()
        yield _row(backbone, name, values.mean() if len(values) else None, len(values))
    yield _row(backbone, "slo_violation_rate", float((~requests["slo_met"]).mean()), len(requests))
    if backbone != ALL:
        for at, share in _within(requests, most):
            yield _row(backbone, "ttft_within", share, len(requests), at)


def _within(requests: pd.DataFrame, most: int | None) -> Iterator[tuple[float, float]]:
    """Steps of the distribution, from 0 at 0 s to the share of requests that were answered."""
    there = answered(requests)["ttft_from_schedule_s"].dropna().to_numpy(dtype=np.float64)
    at, counts = np.unique(there, return_counts=True)
    shares = counts.cumsum() / len(requests)
    yield 0.0, 0.0
    for step in evenly(len(at), len(at) if most is None else most):
        yield float(at[step]), float(shares[step])


def evenly(count: int, most: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Indices of at most ``most`` out of ``count``, including the first and the last."""
    return np.unique(np.linspace(0, max(count - 1, 0), min(count, most)).astype(np.int64))


def _row(
    backbone: str, metric: str, value: float | None, n: int, at: float | None = None
) -> dict[str, Any]:
    return {"backbone": backbone, "metric": metric, "at": at, "value": value, "n": n}
