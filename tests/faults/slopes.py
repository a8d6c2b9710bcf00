"""Whether a series grows."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

WARM_UP = 0.2
"""Share of the time that is not evaluated, because caches and pools still fill."""


def slope(
    times: list[float], values: list[float], seconds: float, most: float | None
) -> dict[str, Any]:
    """Return the growth over ``seconds`` by the median of slopes, with its 95 % interval. Flat
    means: the lower end of the interval is at most ``most`` times the median; None: any is."""
    every = max(1, len(values) // 600)  # all pairs would be too many
    fit = stats.theilslopes(values[::every], times[::every], 0.95)
    median = float(np.median(values))
    growth, low, high = (
        float(each) * seconds for each in (fit.slope, fit.low_slope, fit.high_slope)
    )
    return {
        "median": round(median, 3),
        "growth": round(growth, 3),
        "ci95": [round(low, 3), round(high, 3)],
        "may_grow": None if most is None else round(most * median, 3),
        "n": len(values),
        "flat": most is None or low <= most * median,
    }
