"""Percentiles with intervals that know that requests of a burst are not independent.

Intervals are 95 % percentile intervals of the moving-block bootstrap (Künsch 1989) over requests
in order of arrival, blocks of n^(1/3). A percentile is given only where at least one sample is
expected beyond it, n·(1 − p) ≥ 1; otherwise it is missing, and said to be.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

RESAMPLES = 400
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}

Values = np.ndarray[Any, np.dtype[np.float64]]


def enough(count: int, quantile: float) -> bool:
    """Whether ``count`` samples can speak of ``quantile``."""
    return count * (1 - quantile) >= 1 - 1e-9


def resamples(values: Values, seed: int = 0, count: int = RESAMPLES) -> Values:
    """[count, n] block-bootstrap resamples of values in order of arrival."""
    size = len(values)
    block = max(1, round(size ** (1 / 3)))
    blocks = math.ceil(size / block)
    random = np.random.default_rng(seed)
    starts = random.integers(0, size - block + 1, (count, blocks))
    index = (starts[..., None] + np.arange(block)).reshape(count, -1)[:, :size]
    return np.asarray(values[index])


def summarise(values: Values, seed: int = 0) -> dict[str, Any]:
    """``{n, mean, p50 … p99, ci95: {mean: [low, high], …}}`` of the values that are not NaN; None
    where there are too few to say."""
    present = np.asarray(values, dtype=float)
    present = present[~np.isnan(present)]
    document: dict[str, Any] = {"n": len(present), "mean": None, **dict.fromkeys(QUANTILES)}
    document["ci95"] = dict.fromkeys(("mean", *QUANTILES))
    if not len(present):
        return document
    drawn = resamples(present, seed)
    document["mean"] = float(present.mean())
    document["ci95"]["mean"] = _interval(drawn.mean(axis=1)) if len(present) > 1 else None
    usable = {n: q for n, q in QUANTILES.items() if enough(len(present), q)}
    if usable:
        points = np.quantile(present, list(usable.values()))
        spread = np.quantile(drawn, list(usable.values()), axis=1)
        for name, point, row in zip(usable, points, spread, strict=True):
            document[name] = float(point)
            document["ci95"][name] = _interval(row)
    return document


def _interval(samples: Values) -> list[float]:
    low, high = np.quantile(samples, [0.025, 0.975])
    return [float(low), float(high)]
