"""Intervals of means and of shares."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import betaincinv, stdtrit

from .arrays import Interval, Values
from .bootstrap import HIGH, LOW, Gradient, Statistic, freedom, studentised, variance
from .series import Series

NORMAL = 1.959964
FEWEST_VALUES = 10
"""With fewer values, no interval is given."""


def mean_interval(series: Series) -> Interval | None:
    """95 % interval by the studentised block bootstrap. For non-negative values it is computed for
    the logarithm of the mean, so that it lies above zero; this also improves the coverage of skewed
    values (METRICS.md)."""
    if len(series) < FEWEST_VALUES or series.of_one:
        return None
    # Centred, so that a mean far from 0 does not reduce the precision of the spread.
    centre = float(series.values.mean())
    halves = series.halves(series.values - centre, series.blocks)
    if centre > 0 and series.values.min() >= 0:
        interval = studentised(halves, *_log_mean(centre))
        return interval and (math.exp(interval[0]), math.exp(interval[1]))
    interval = studentised(halves, _mean, _mean_gradient)
    return interval and (interval[0] + centre, interval[1] + centre)


def _mean(totals: Values) -> Values:
    found: Values = totals[..., 0] / totals[..., 1]
    return found


def _mean_gradient(totals: Values) -> Values:
    total, count = totals[..., 0], totals[..., 1]
    return np.stack([1 / count, -total / count**2], axis=-1)


def _log_mean(centre: float) -> tuple[Statistic, Gradient]:
    """The logarithm of the mean of values minus ``centre``, and its gradient."""

    def statistic(totals: Values) -> Values:
        found: Values = np.log(centre + _mean(totals))
        return found

    def gradient(totals: Values) -> Values:
        return _mean_gradient(totals) / (centre + _mean(totals))[..., None]

    return statistic, gradient


def share_interval(series: Series) -> Interval | None:
    """95 % interval of the share of ones among zeros and ones."""
    if len(series) < FEWEST_VALUES:
        return None
    share = float(series.values.mean())
    effect, degrees = design(share, series.halves(series.values, series.blocks), len(series))
    return beta_interval(share, len(series) / effect, degrees)


def design(share: float, halves: Values, count: int) -> tuple[float, float]:
    """Return (design effect, degrees of freedom). The design effect is the block variance of a
    share over the variance of as many independent trials, at least 1. ``halves``: successes and
    trials per half-block."""
    residuals = (halves[:, 0] - share * halves[:, 1]) / count
    alone = share * (1 - share) / count
    effect = variance(residuals) / alone if alone > 0 else 1.0
    return max(1.0, effect), freedom(residuals)


def beta_interval(share: float, effective: float, degrees: float) -> Interval:
    """Jeffreys's interval at the effective n of a clustered sample, which is reduced for few
    degrees of freedom of its variance (Korn and Graubard 1998, Survey Methodology 24:193)."""
    lowered = effective * (NORMAL / float(stdtrit(degrees, HIGH))) ** 2
    ones, zeros = lowered * share + 0.5, lowered * (1 - share) + 0.5
    # If no failure was observed, the upper bound is 1; if no success was, the lower bound is 0.
    low = float(betaincinv(ones, zeros, LOW)) if share > 0 else 0.0
    high = float(betaincinv(ones, zeros, HIGH)) if share < 1 else 1.0
    return low, high
