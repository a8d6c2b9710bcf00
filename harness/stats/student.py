"""The interval of a mean over repeated cells."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from .arrays import Interval

FEWEST_REPEATS = 3


def student_interval(values: Sequence[float]) -> Interval | None:
    """95 % by Student's t: cells are independent of each other. None of fewer than three."""
    count = len(values)
    if count < FEWEST_REPEATS:
        return None
    mean = float(np.mean(values))
    reach = float(stdtrit(count - 1, 0.975)) * float(np.std(values, ddof=1)) / math.sqrt(count)
    return mean - reach, mean + reach
