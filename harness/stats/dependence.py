"""Dependence between successive requests: the block length, and the effective n.

Block length by Politis and White (2004, Econometric Reviews 23:53) as corrected by Patton, Politis
and White (2009, Econometric Reviews 28:372), for the circular bootstrap; the long-run variance uses
the same flat-top lag window. Effective n is n over the integrated autocorrelation time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .arrays import Values

LONGEST = 1 << 15
"""Longer series are first averaged in groups of neighbours; blocks are longer than a group."""
FEWEST = 10
"""With fewer values, autocovariance cannot be distinguished from noise."""
MOST_BLOCKS, FEWEST_BLOCKS = 500, 10
LENGTHS = 2
"""Blocks are this many times longer than optimal for the variance: intervals need longer blocks
(Hall, Horowitz and Jing 1995, Biometrika 82:561)."""


@dataclass(frozen=True, slots=True)
class Dependence:
    """``block``: length in requests, 1 if they are independent. ``effective_n``: in values."""

    block: float
    effective_n: float

    def blocks(self, size: int) -> int:
        """Return into how many blocks ``size`` requests are split."""
        length = math.ceil(LENGTHS * self.block) if self.block > 1 else 1
        return min(size, MOST_BLOCKS, max(FEWEST_BLOCKS, size // length))


def dependence(values: Values, size: int) -> Dependence:
    """Estimate the dependence of values of ``size`` requests in order of arrival."""
    count = len(values)
    if count < FEWEST or np.ptp(values) == 0:
        return Dependence(1.0, float(count))
    group = -(-count // LONGEST)
    means = values[: count - count % group].reshape(-1, group).mean(axis=1)
    block, long_run = _politis_white(means)
    effective = float(values.var()) * len(means) / long_run
    length = block * group * size / count if block > 1 else float(group)
    return Dependence(max(1.0, length), min(effective, float(count)))


def _politis_white(values: Values) -> tuple[float, float]:
    """Return (block length in values, long-run variance)."""
    count = len(values)
    run = max(5, math.ceil(math.sqrt(math.log10(count))))
    most = min(math.ceil(math.sqrt(count)) + run, count - 1)
    covariance = _autocovariance(values, most)
    lag = _last_correlated(covariance / covariance[0], run, count)
    if lag == 0:
        return 1.0, float(covariance[0])
    width = min(2 * lag, most)
    lags = np.arange(1, width + 1)
    weighted = np.minimum(1.0, 2 * (1 - lags / width)) * covariance[1 : width + 1]
    # The flat-top window may become negative; the floor is a fifth of the variance.
    long_run = max(float(covariance[0] + 2 * weighted.sum()), float(covariance[0]) / 5)
    slope = float(2 * (weighted * lags).sum())
    length = (2 * slope**2 / (4 / 3 * long_run**2)) ** (1 / 3) * count ** (1 / 3)
    return length, long_run


def _autocovariance(values: Values, lags: int) -> Values:
    """Return [lags + 1] autocovariances, by FFT of the zero-padded series."""
    centred = values - values.mean()
    padded = 1 << (2 * len(centred) - 1).bit_length()
    spectrum = np.fft.rfft(centred, padded)
    found: Values = np.fft.irfft(spectrum * spectrum.conj(), padded)[: lags + 1] / len(centred)
    return found


def _last_correlated(correlation: Values, run: int, count: int) -> int:
    """Return the lag after which ``run`` successive correlations are within noise; 0 if all are."""
    noise = np.abs(correlation[1:]) < 2 * math.sqrt(math.log10(count) / count)
    quiet = np.convolve(noise, np.ones(run), "valid") == run
    if quiet.any():
        return int(np.argmax(quiet))
    return int(np.flatnonzero(~noise)[-1]) + 1 if not noise.all() else 0
