"""Renewal clusters, which resemble most functions of Azure.

A function is called in clusters (a batch job's calls, a user's session, a timer's ticks). Clusters
begin as a renewal process with gamma gaps of mean ``period_s`` and CV ``period_cv`` (0: a timer).
Each has a random number of calls, uniform over ``spread_s``. With Poisson parents this is the
Neyman–Scott process; a steady function has its minutes as clusters.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from pydantic import NonNegativeFloat, PositiveFloat

from .process import Process, Times


class Clusters(Process):
    """Rate = ``size`` / ``period_s``. ``size_cv``: CV of the number of calls in a cluster;
    ``least``: its minimum."""

    kind: Literal["clusters"] = "clusters"
    period_s: PositiveFloat
    period_cv: NonNegativeFloat = 0.0
    size: PositiveFloat = 1.0
    size_cv: NonNegativeFloat = 0.0
    spread_s: NonNegativeFloat = 0.0
    least: int = 1
    grid_s: NonNegativeFloat = 0.0
    """Clusters begin on multiples of this, as cron jobs do; 0: at any time."""

    @property
    def mean_rate_rps(self) -> float:
        return self.size / self.period_s

    def arrivals(self, random: np.random.Generator, duration_s: float) -> Times:
        """Arrival times in [0, duration), sorted; the process has been running before 0."""
        starts = self._starts(random, duration_s)
        sizes = draw_counts(random, self.size, self.size_cv, len(starts), self.least)
        offsets = random.uniform(0.0, self.spread_s, int(sizes.sum()))
        times = np.repeat(starts, sizes) + offsets
        return np.sort(times[(times >= 0) & (times < duration_s)])

    def _starts(self, random: np.random.Generator, duration_s: float) -> Times:
        """Cluster starts from one spread before 0; the first is at a uniform part of a gap."""
        begin = -self.spread_s
        expected = (duration_s - begin) / self.period_s
        many = int(expected + 6 * (1 + self.period_cv) * np.sqrt(expected + 1) + 10)
        gaps = self._gaps(random, many)
        gaps[0] = self._first_gap(random, gaps[0])
        while begin + gaps.sum() < duration_s:  # many short gaps in a row, where their CV is large
            gaps = np.concatenate((gaps, self._gaps(random, many)))
        starts = begin + np.cumsum(gaps)
        if self.grid_s:
            starts = np.floor(starts / self.grid_s) * self.grid_s
        return np.asarray(starts[starts < duration_s])

    def _first_gap(self, random: np.random.Generator, gap_s: float) -> float:
        """Return what is left of the gap at the beginning: a uniform part of ``gap_s``."""
        return gap_s * random.uniform()

    def _gaps(self, random: np.random.Generator, count: int) -> Times:
        if self.period_cv == 0:
            return np.full(count, self.period_s)
        shape = self.period_cv**-2
        return random.gamma(shape, self.period_s / shape, count)


def draw_counts(
    random: np.random.Generator, mean: float, cv: float, count: int, least: int
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Draw integers of at least ``least`` with this mean and CV: negative binomial above Poisson's
    variance, binomial below it, and the two integers next to the mean if that is too wide."""
    excess = mean - least
    if excess <= 0:
        return np.full(count, least, dtype=np.int64)
    variance = (cv * mean) ** 2
    ratio = variance / excess
    if abs(ratio - 1) < 1e-6:
        drawn = random.poisson(excess, count)
    elif ratio > 1:
        drawn = random.negative_binomial(excess / (ratio - 1), 1 / ratio, count)
    elif variance > 0.25:
        trials = math.ceil(excess / (1 - ratio))
        drawn = random.binomial(trials, excess / trials, count)
    else:
        drawn = math.floor(excess) + (random.uniform(size=count) < excess % 1)
    return least + drawn.astype(np.int64)
