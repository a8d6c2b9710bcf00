"""MMPP-2: a Poisson process whose rate switches between two values, given by measurable properties.

Gaps of renewal processes are independent, so their index of dispersion cannot exceed CV². That of
real traffic does, because bursts are clustered. Two states with exponential durations model both,
and have closed forms.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, PositiveFloat, model_validator

from .process import Process, Times


@dataclass(frozen=True, slots=True)
class States:
    """Rates of the two states, busy first, and the rates of leaving them, all in 1/s."""

    busy_rps: float
    quiet_rps: float
    leave_busy: float
    leave_quiet: float


class MMPP2(Process):
    """Given by rate, ``cv`` of the gaps, limiting index of dispersion of counts, and the share of
    time in the busy state.

    With stationary shares π, s the sum of the two leaving rates, m the mean rate and d the CV of
    the rate itself (Fischer & Meier-Hellstern, "The MMPP cookbook", 1993):
      I - 1 = 2·m·d²/s and (I - 1)/(CV² - 1) = 1 + λ₁λ₂/(s·m).
    Solved for d and s this is a quadratic; the rates follow. Needs 1 < CV² ≤ I.
    """

    kind: Literal["mmpp-2"] = "mmpp-2"
    rate_rps: PositiveFloat
    cv: Annotated[float, Field(gt=1)]
    dispersion: Annotated[float, Field(gt=1)]
    busy_share: Annotated[float, Field(ge=1e-6, lt=1)] = 0.5

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.cv**2 > self.dispersion * (1 + 1e-9):
            raise ValueError(
                f"mmpp-2: dispersion {self.dispersion:g} must be at least cv² = {self.cv**2:g}"
            )
        return self

    @property
    def mean_rate_rps(self) -> float:
        return self.rate_rps

    @cached_property
    def states(self) -> States:
        ratio = sqrt((1 - self.busy_share) / self.busy_share)
        squared = self.cv**2
        stretch = 2 * (self.dispersion - squared) / ((self.dispersion - 1) * (squared - 1))
        lean = ratio - 1 / ratio
        rate_cv = (lean + sqrt(lean**2 + 4 * (1 + stretch))) / (2 * (1 + stretch))
        leaving = 2 * self.rate_rps * rate_cv**2 / (self.dispersion - 1)
        return States(
            busy_rps=self.rate_rps * (1 + rate_cv * ratio),
            quiet_rps=max(0.0, self.rate_rps * (1 - rate_cv / ratio)),
            leave_busy=leaving * (1 - self.busy_share),
            leave_quiet=leaving * self.busy_share,
        )

    def arrivals(self, random: np.random.Generator, duration_s: float) -> Times:
        busy = bool(random.uniform() < self.busy_share)
        starts, rates, now = [], [], 0.0
        while now < duration_s:
            starts.append(now)
            rates.append(self.states.busy_rps if busy else self.states.quiet_rps)
            leave = self.states.leave_busy if busy else self.states.leave_quiet
            now, busy = now + random.exponential(1 / leave), not busy
        stays = np.diff([*starts, duration_s])
        counts = random.poisson(np.array(rates) * stays)
        within = random.uniform(size=int(counts.sum()))
        return np.sort(np.repeat(starts, counts) + within * np.repeat(stays, counts))
