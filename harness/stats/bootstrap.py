"""Studentised block bootstrap. Only block sums are resampled, whatever the number of requests.

Blocks are Carlstein's (1986, Annals of Statistics 14:1171); studentising makes the interval
second-order correct for skewed data (Götze and Künsch 1996, Annals of Statistics 24:1914). The
lugsail window of Vats and Flegal (2022, Biometrika 109:735) corrects for the variance lost at the
edges of blocks: 2·V(l) − V(l/2), but at least V(l).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy.special import stdtrit

from .arrays import Interval, Values
from .dependence import FEWEST_BLOCKS

RESAMPLES = 999
FEWEST_DEGREES = 15
"""Minimum degrees of freedom of the block variance: with fewer, the resampled scores are themselves
heavy-tailed, and Student's t is used instead."""
SEED = 0
LOW, HIGH = 0.025, 0.975

Statistic = Callable[[Values], Values]
"""[…, k] totals → […]; homogeneous of degree 0: independent of the number of blocks."""
Gradient = Callable[[Values], Values]
"""[…, k] totals → […, k]."""


@lru_cache(maxsize=16)
def _multiplicities(blocks: int) -> Values:
    """[resamples, blocks]: how often each block is drawn."""
    random = np.random.default_rng(SEED)
    return random.multinomial(blocks, np.full(blocks, 1 / blocks), RESAMPLES).astype(np.float64)


def whole(halves: Values) -> Values:
    """Sum half-blocks [2b, k] to blocks [b, k]. Unchanged if 2b is odd or too small, since such
    halves are already whole blocks."""
    count = len(halves)
    if count % 2 or count < 2 * FEWEST_BLOCKS:
        return halves
    blocks: Values = halves.reshape(count // 2, 2, -1).sum(axis=1)
    return blocks


def variance(residuals: Values) -> float:
    """Variance of a statistic from its linear residuals per half-block [2b], lugsail-corrected."""
    blocks = whole(residuals[:, None])[:, 0]
    coarse = _sum_of_squares(blocks)
    return max(coarse, 2 * coarse - _sum_of_squares(residuals))


def _sum_of_squares(residuals: Values) -> float:
    count = len(residuals)
    return float(residuals @ residuals) * count / (count - 1)


def freedom(residuals: Values) -> float:
    """Degrees of freedom of the block variance; lower if few blocks dominate it (Satterthwaite
    1946, Biometrics Bulletin 2:110)."""
    blocks = whole(residuals[:, None])[:, 0]
    second, fourth = float((blocks**2).mean()), float((blocks**4).mean())
    most = len(blocks) - 1.0
    if second == 0 or fourth <= second**2:
        return most
    return max(1.0, min(most, 2 * len(blocks) / (fourth / second**2 - 1)))


def studentised(halves: Values, statistic: Statistic, gradient: Gradient) -> Interval | None:
    """95 % interval of a statistic of the totals of ``halves`` [2b, k]. None if all values are
    equal, or if undefined resamples leave an end infinite."""
    blocks = whole(halves)
    total = blocks.sum(axis=0)
    residuals = halves @ gradient(total)
    error = math.sqrt(variance(residuals))
    centre = float(statistic(total))
    # If all values are equal, the data contain no information about their variation.
    if not (math.isfinite(centre) and math.isfinite(error) and error > 0):
        return None
    degrees = freedom(residuals)
    if degrees < FEWEST_DEGREES:
        reach = float(stdtrit(degrees, HIGH)) * error
        return centre - reach, centre + reach
    scores = _scores(blocks, centre, statistic, gradient)
    low, high = (float(scores[round(tail * (len(scores) + 1)) - 1]) for tail in (LOW, HIGH))
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    return centre - high * error, centre - low * error


def _scores(blocks: Values, centre: float, statistic: Statistic, gradient: Gradient) -> Values:
    """Sorted [resamples] of (statistic − centre) / its standard error."""
    drawn = _multiplicities(len(blocks))
    count, columns = blocks.shape
    products = (blocks[:, :, None] * blocks[:, None, :]).reshape(count, -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        totals = drawn @ blocks
        slopes = gradient(totals)
        spread = (drawn @ products).reshape(-1, columns, columns)
        squared = np.einsum("ri,rij,rj->r", slopes, spread, slopes) * count / (count - 1)
        scores: Values = (statistic(totals) - centre) / np.sqrt(squared)
    # An undefined statistic may have any value: count it in both tails alternately.
    undefined = np.flatnonzero(np.isnan(scores))
    scores[undefined] = np.where(np.arange(len(undefined)) % 2, np.inf, -np.inf)
    return np.sort(scores)
