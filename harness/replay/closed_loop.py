"""Closed-loop load: users that each send a request, wait for its answer, think, and send the next.
The requests are those of the schedule, in its order; its times are not used."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveInt

_NS = 1e9


class ClosedLoop(BaseModel):
    """``users``: number of them. ``think_s``: seconds between an answer and the next request.
    ``ramp_s``: seconds over which the users begin, one after another; 0: all at the start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    users: PositiveInt
    think_s: NonNegativeFloat = 0.0
    ramp_s: NonNegativeFloat = 0.0

    @property
    def think_ns(self) -> int:
        return round(self.think_s * _NS)

    def starts_ns(self, worker: int = 0, workers: int = 1) -> list[int]:
        """Return when each user of a load worker begins, after the run's start."""
        step_ns = self.ramp_s * _NS / self.users
        return [round(user * step_ns) for user in range(worker, self.users, workers)]
