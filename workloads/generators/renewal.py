"""Renewal processes: independent gaps of one distribution, given by rate and CV.

At an arbitrary time, a renewal process is more likely to be within a long gap than within a short
one. The first arrival is therefore drawn from the exact equilibrium distribution: a uniform part of
a length-biased gap (Cox, *Renewal Theory*, 1962, section 5). Starting with a whole gap instead
would put a burst at 0 in every function of a bursty workload.
"""

from __future__ import annotations

from abc import abstractmethod
from math import gamma, sqrt
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveFloat

from .process import Process, Times

_SPARE = 6.0
"""Arrivals drawn at once beyond the mean number, in standard deviations."""


class Renewal(Process):
    """Gaps of mean 1 / ``rate_rps``; a subclass draws them."""

    rate_rps: PositiveFloat

    @property
    def mean_rate_rps(self) -> float:
        return self.rate_rps

    @property
    @abstractmethod
    def gap_cv(self) -> float:
        """Coefficient of variation of the gaps' distribution (not of a sample)."""

    @abstractmethod
    def gaps(self, random: np.random.Generator, count: int) -> Times:
        """Draw independent gaps in seconds."""

    @abstractmethod
    def long_gap(self, random: np.random.Generator) -> float:
        """Draw one gap with a probability proportional to its length."""

    def arrivals(self, random: np.random.Generator, duration_s: float) -> Times:
        pieces = [np.array([random.uniform() * self.long_gap(random)])]
        while (last := float(pieces[-1][-1])) < duration_s:
            expected = (duration_s - last) * self.rate_rps
            many = int(expected + _SPARE * (1 + self.gap_cv) * sqrt(expected + 1)) + 1
            pieces.append(last + np.cumsum(self.gaps(random, many)))
        times = np.concatenate(pieces)
        return times[times < duration_s]


class Poisson(Renewal):
    """Exponential gaps: CV 1, index of dispersion 1 over every window."""

    kind: Literal["poisson"] = "poisson"

    @property
    def gap_cv(self) -> float:
        return 1.0

    def gaps(self, random: np.random.Generator, count: int) -> Times:
        return random.exponential(1 / self.rate_rps, count)

    def long_gap(self, random: np.random.Generator) -> float:
        return float(random.gamma(2.0, 1 / self.rate_rps))


class Gamma(Renewal):
    """Gamma gaps, shape 1/CV² (as in the load generators of S-LoRA, AlpaServe and BurstGPT). In a
    short sample of a bursty process the CV is below ``cv``: most of its variance is in rare long
    gaps."""

    kind: Literal["gamma"] = "gamma"
    cv: Annotated[float, Field(ge=1e-3, le=10_000)]

    @property
    def gap_cv(self) -> float:
        return self.cv

    @property
    def _shape(self) -> float:
        return self.cv**-2

    def gaps(self, random: np.random.Generator, count: int) -> Times:
        return random.gamma(self._shape, 1 / (self.rate_rps * self._shape), count)

    def long_gap(self, random: np.random.Generator) -> float:
        return float(random.gamma(self._shape + 1, 1 / (self.rate_rps * self._shape)))


class Weibull(Renewal):
    """Weibull gaps: CV² = Γ(1+2/k) / Γ(1+1/k)² - 1 gives the shape k (ServeGen finds such clients
    besides gamma ones)."""

    kind: Literal["weibull"] = "weibull"
    cv: Annotated[float, Field(ge=0.03, le=10_000)]

    @property
    def gap_cv(self) -> float:
        return self.cv

    @property
    def shape(self) -> float:
        """Shape k; above 1 for CV below 1."""
        from scipy.optimize import brentq

        return float(brentq(lambda k: _weibull_cv(k) - self.cv, 0.05, 50.0))

    def gaps(self, random: np.random.Generator, count: int) -> Times:
        shape = self.shape
        return self._scale(shape) * random.weibull(shape, count)

    def long_gap(self, random: np.random.Generator) -> float:
        # The length-biased gap's k-th power is gamma of shape 1 + 1/k.
        shape = self.shape
        return float(self._scale(shape) * random.gamma(1 + 1 / shape) ** (1 / shape))

    def _scale(self, shape: float) -> float:
        return 1 / (self.rate_rps * gamma(1 + 1 / shape))


class HyperExponential(Renewal):
    """Short and long gaps, each exponential, with balanced means: p / λ is equal for both (Tijms,
    *A First Course in Stochastic Models*, 2003, appendix B)."""

    kind: Literal["hyper-exponential"] = "hyper-exponential"
    cv: Annotated[float, Field(ge=1, le=10_000)]

    @property
    def gap_cv(self) -> float:
        return self.cv

    @property
    def branches(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """(probability, rate in 1/s) of short and of long gaps."""
        p = (1 + sqrt((self.cv**2 - 1) / (self.cv**2 + 1))) / 2
        return (p, 2 * p * self.rate_rps), (1 - p, 2 * (1 - p) * self.rate_rps)

    def gaps(self, random: np.random.Generator, count: int) -> Times:
        (p, fast), (_, slow) = self.branches
        rates = np.where(random.uniform(size=count) < p, fast, slow)
        return random.exponential(size=count) / rates

    def long_gap(self, random: np.random.Generator) -> float:
        # Balanced means: at an arbitrary time, both kinds are equally likely.
        rate = self.branches[int(random.integers(2))][1]
        return float(random.gamma(2.0, 1 / rate))


def _weibull_cv(shape: float) -> float:
    return sqrt(gamma(1 + 2 / shape) / gamma(1 + 1 / shape) ** 2 - 1)
