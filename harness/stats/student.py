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
    found = np.asarray(values, dtype=np.float64)
    if len(found) < FEWEST_REPEATS or found.mean() <= 0:
        return None
    mean = float(found.mean())
    factor = math.exp(_reach(found / mean))
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
    reach = _reach(tops / tops.mean() - bottoms / bottoms.mean())
    return math.exp(centre - reach), math.exp(centre + reach)


def _reach(values: Values) -> float:
    count = len(values)
    return float(stdtrit(count - 1, 0.975)) * float(np.std(values, ddof=1)) / math.sqrt(count)
