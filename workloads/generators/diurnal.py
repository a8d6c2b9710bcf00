"""A daily cycle for any process."""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, SerializeAsAny, field_validator

from .process import Process, Times

if TYPE_CHECKING:
    from collections.abc import Callable

_STEPS_A_PERIOD = 2_000
"""Linear pieces of the clock; its error is below 10⁻⁶ of a period."""


class Diurnal(Process):
    """``of``, on a clock that runs 1 + amplitude·cos(2π(t - peak)/period) times as fast.

    The clock is warped instead of thinning arrivals, so that the gaps keep their distribution in
    the clock's own time and no draw is discarded. The mean rate over a period is ``of``'s.
    """

    kind: Literal["diurnal"] = "diurnal"
    of: SerializeAsAny[Process]
    amplitude: Annotated[float, Field(ge=0, lt=1)]
    period_s: PositiveFloat = 86_400.0
    peak_s: NonNegativeFloat = 0.0

    @field_validator("of", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        from . import process

        return process(value) if isinstance(value, dict) else value

    @property
    def mean_rate_rps(self) -> float:
        return self.of.mean_rate_rps

    def arrivals(self, random: np.random.Generator, duration_s: float) -> Times:
        steps = int(np.ceil(duration_s / self.period_s * _STEPS_A_PERIOD)) + 2
        real = np.linspace(0.0, duration_s, steps)
        played = self._clock()(real)
        inner = self.of.arrivals(random, float(played[-1]))
        return np.asarray(np.interp(inner, played, real))

    def _clock(self) -> Callable[[Times], Times]:
        """Return the time of ``of`` as a function of real time, both from 0."""
        turn = 2 * pi / self.period_s

        def clock(at_s: Times) -> Times:
            swing = np.sin(turn * (at_s - self.peak_s)) - np.sin(-turn * self.peak_s)
            return np.asarray(at_s + self.amplitude / turn * swing)

        return clock
