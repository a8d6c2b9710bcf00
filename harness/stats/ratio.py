"""Ratios of two systems, paired by request if both received the same schedule.

A paired ratio of means is resampled by blocks of both systems together. A ratio of quantiles
combines the two quantiles' intervals and the correlation of their blocks on the logarithm (delta
method), without a density estimate. Unpaired ratios are combined in the same way.
"""

from __future__ import annotations

import math

import numpy as np

from .arrays import Interval, Values
from .bootstrap import studentised, whole
from .mean import FEWEST_VALUES, mean_interval
from .quantile import halves_below, quantile_interval, quantile_of
from .series import Series


def mean_ratio_interval(ours: Series, theirs: Series, *, paired: bool) -> Interval | None:
    """95 % interval of mean(ours) / mean(theirs); None if either is not above zero."""
    if min(len(ours), len(theirs)) < FEWEST_VALUES or ours.of_one or theirs.of_one:
        return None
    if ours.values.mean() <= 0 or theirs.values.mean() <= 0:
        return None
    if not paired:
        tops = (float(ours.values.mean()), float(theirs.values.mean()))
        return _joined(tops, (mean_interval(ours), mean_interval(theirs)), 0.0)
    blocks = min(ours.blocks, theirs.blocks)
    halves = np.hstack([each.halves(each.values, blocks) for each in (ours, theirs)])
    interval = studentised(halves, _log_ratio, _log_ratio_gradient)
    return interval and (math.exp(interval[0]), math.exp(interval[1]))


_SIGNS = np.array([1.0, -1.0, -1.0, 1.0])


def _log_ratio(totals: Values) -> Values:
    found: Values = np.log(totals) @ _SIGNS
    return found


def _log_ratio_gradient(totals: Values) -> Values:
    found: Values = _SIGNS / totals
    return found


def quantile_ratio_interval(
    ours: Series, theirs: Series, quantile: float, *, paired: bool
) -> Interval | None:
    """95 % interval of the ratio of two quantiles; None if either has no interval."""
    tops = (quantile_of(ours, quantile), quantile_of(theirs, quantile))
    if tops[0] is None or tops[1] is None:
        return None
    intervals = (quantile_interval(ours, quantile), quantile_interval(theirs, quantile))
    correlation = _correlation(ours, theirs, quantile) if paired else 0.0
    return _joined((tops[0], tops[1]), intervals, correlation)


def _correlation(ours: Series, theirs: Series, quantile: float) -> float:
    """Correlation between both systems' counts per block below their own quantile."""
    blocks = min(ours.blocks, theirs.blocks)
    residuals = []
    for each in (ours, theirs):
        found = whole(halves_below(each, quantile, blocks))
        residuals.append(found[:, 0] - quantile * found[:, 1])
    spread = math.sqrt(float((residuals[0] ** 2).sum() * (residuals[1] ** 2).sum()))
    return float(residuals[0] @ residuals[1]) / spread if spread else 0.0


def _joined(
    tops: tuple[float, float],
    intervals: tuple[Interval | None, Interval | None],
    correlation: float,
) -> Interval | None:
    """Interval of tops[0] / tops[1] from the two intervals."""
    if intervals[0] is None or intervals[1] is None:
        return None
    if min(*tops, *intervals[0], *intervals[1]) <= 0:
        return None
    ours, theirs = (math.log(high / low) / 2 for low, high in (intervals[0], intervals[1]))
    centre = math.log(tops[0] / tops[1])
    # (ours − theirs)² plus the missing correlation: rounding cannot make it negative.
    reach = math.sqrt((ours - theirs) ** 2 + 2 * max(1 - correlation, 0.0) * ours * theirs)
    return math.exp(centre - reach), math.exp(centre + reach)
