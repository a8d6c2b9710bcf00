"""Intervals over repeated cells, which are independent."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from .arrays import Interval, Values

FEWEST_REPEATS = 3


def student_interval(values: Sequence[float]) -> Interval | None:
    """95 % interval of the mean of non-negative values, by Student's t for its logarithm (delta
    method), so that it lies above zero. None for fewer than three values or if the mean is not
    above zero."""
    low, high = (float(end[0]) for end in student_intervals(np.asarray([values], np.float64)))
    return None if math.isnan(low) else (low, high)


def student_intervals(values: Values) -> tuple[Values, Values]:
    """Lower and upper ends [n] of the :func:`student_interval` of each row of ``values``
    [n, repeats]; NaN where there is none."""
    count, repeats = values.shape
    if repeats < FEWEST_REPEATS:
        return np.full(count, np.nan), np.full(count, np.nan)
    mean = values.mean(axis=1)
    mean = np.where(mean > 0, mean, np.nan)
    factor = np.exp(_reach(values / mean[:, None]))
    return mean / factor, mean * factor


def student_ratio_interval(ours: Sequence[float], theirs: Sequence[float]) -> Interval | None:
    """95 % interval of mean(ours) / mean(theirs), paired by cell, on the logarithm by the delta
    method. None for fewer than three cells or if a mean is not above zero. For eight cells whose
    sizes vary by a factor of e (one standard deviation) it covers 88 %, because few of them
    dominate."""
    tops, bottoms = (np.asarray(each, dtype=np.float64) for each in (ours, theirs))
    if len(tops) < FEWEST_REPEATS or len(tops) != len(bottoms):
        return None
    if tops.mean() <= 0 or bottoms.mean() <= 0:
        return None
    centre = math.log(tops.mean() / bottoms.mean())
    reach = float(_reach(tops / tops.mean() - bottoms / bottoms.mean()))
    return math.exp(centre - reach), math.exp(centre + reach)


def _reach(values: Values) -> Values:
    """Half the width of the interval of the mean over the last axis."""
    count = values.shape[-1]
    deviation: Values = np.std(values, axis=-1, ddof=1)
    return float(stdtrit(count - 1, 0.975)) * deviation / math.sqrt(count)
