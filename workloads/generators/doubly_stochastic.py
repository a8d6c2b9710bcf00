"""A doubly stochastic Poisson process: the rate of each minute is random and correlated over time.

It resembles the minute counts of Azure Functions without timers: Poisson within a minute, with
rates that differ between minutes by far more than Poisson counts.
"""

from __future__ import annotations

from math import exp, log, sqrt
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat

from .process import Process, Times


class DoublyStochastic(Process):
    """The logarithm of the rate is a Gaussian AR(1) over windows of ``window_s`` with correlation
    ``memory`` between neighbours; the rate has mean ``rate_rps`` and CV ``rate_cv``.

    Counts per window have index of dispersion 1 + rate_rps · window_s · rate_cv², exactly.
    """

    kind: Literal["doubly-stochastic"] = "doubly-stochastic"
    rate_rps: PositiveFloat
    rate_cv: NonNegativeFloat
    memory: Annotated[float, Field(ge=0, lt=1)] = 0.0
    window_s: PositiveFloat = 60.0

    @property
    def mean_rate_rps(self) -> float:
        return self.rate_rps

    def arrivals(self, random: np.random.Generator, duration_s: float) -> Times:
        windows = int(np.ceil(duration_s / self.window_s))
        rates = self._rates(random, windows)
        counts = random.poisson(rates * self.window_s)
        starts = np.repeat(np.arange(windows) * self.window_s, counts)
        times = np.sort(starts + random.uniform(0, self.window_s, len(starts)))
        return times[times < duration_s]

    def _rates(self, random: np.random.Generator, count: int) -> Times:
        from scipy.signal import lfilter

        sigma = sqrt(log(1 + self.rate_cv**2))
        draws = random.standard_normal(count)
        draws[1:] *= sqrt(1 - self.memory**2)
        levels = lfilter([1.0], [1.0, -self.memory], draws)
        return np.asarray(self.rate_rps * np.exp(sigma * levels) * exp(-(sigma**2) / 2))
