"""Quantiles and their intervals by Woodruff's inversion (1952, JASA 47:635): the interval of the
share of values below the quantile is mapped to the sorted values."""

from __future__ import annotations

import math

from .arrays import Interval, Values
from .mean import beta_interval, design
from .series import Series

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
BEYOND = 10.0
"""Minimum number of effective samples on either side of a quantile with an interval. With fewer,
measured coverage is below 90 %, because a sample may miss bursts."""


def enough(count: float, quantile: float) -> bool:
    """Whether ``count`` samples suffice for ``quantile``: one is expected beyond it."""
    return count * (1 - quantile) >= 1 - 1e-9


def quantile_of(series: Series, quantile: float) -> float | None:
    """Return the quantile; None if there are too few values."""
    if not len(series) or not enough(len(series), quantile):
        return None
    return _at(series.ordered, quantile * (len(series) - 1))


def quantile_interval(series: Series, quantile: float) -> Interval | None:
    """95 % interval; None if fewer than ten effective samples lie beyond the quantile, or if all
    are of one request."""
    if series.of_one:
        return None
    if series.dependence.effective_n * min(quantile, 1 - quantile) < BEYOND - 1e-9:
        return None
    effect, degrees = _design_below(series, quantile)
    # The clustering of bursts in the tail is estimated from few of them, and a sample may miss the
    # relevant ones. It is therefore averaged with the clustering at twice the tail.
    tail = min(quantile, 1 - quantile)
    inner = min(2 * tail, 0.5)
    wider, _ = _design_below(series, inner if quantile < 0.5 else 1 - inner)
    effective = len(series) / math.sqrt(effect * wider)
    low, high = beta_interval(quantile, effective, degrees)
    last = len(series) + 1
    return _at(series.ordered, low * last - 1), _at(series.ordered, high * last - 1)


def _design_below(series: Series, quantile: float) -> tuple[float, float]:
    return design(quantile, halves_below(series, quantile, series.blocks), len(series))


def halves_below(series: Series, quantile: float, blocks: int) -> Values:
    """Return [2b, 2]: values at or below the quantile, and all values, per half-block. The former
    are shifted so that their share equals the quantile exactly."""
    threshold = _at(series.ordered, quantile * (len(series) - 1))
    below = (series.values <= threshold).astype(float)
    return series.halves(below + (quantile - below.mean()), blocks)


def _at(ordered: Values, place: float) -> float:
    """Interpolate linearly at a position in [0, n − 1]."""
    place = min(max(place, 0.0), len(ordered) - 1.0)
    index = min(int(place), len(ordered) - 2) if len(ordered) > 1 else 0
    after = ordered[min(index + 1, len(ordered) - 1)]
    return float(ordered[index] + (place - index) * (after - ordered[index]))
