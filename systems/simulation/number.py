"""A number or a curve of a device profile, with its source."""

from __future__ import annotations

from bisect import bisect_right
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["measured", "published", "derived"]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Number(Frozen):
    """A value and its source. ``kind``: measured, published (a data sheet, a paper), or derived
    from such numbers by the stated arithmetic. ``spread``: how the single measurements were
    distributed, as quantiles at equal steps of probability from 0 to 1, in multiples of ``value``;
    None: unknown, and every duration is ``value``."""

    value: float = Field(ge=0)
    kind: Kind
    source: str = Field(min_length=8)
    spread: tuple[float, ...] | None = Field(default=None, min_length=2)

    def quantile(self, p: float) -> float:
        """Return the value at the probability ``p``, from 0 to below 1."""
        if self.spread is None:
            return self.value
        at = p * (len(self.spread) - 1)
        low = int(at)
        below, above = self.spread[low : low + 2]
        return self.value * (below + (above - below) * (at - low))


class Curve(Frozen):
    """Measured values, such as durations by the number of requests; straight lines between the
    points and beyond the last two, where the last value is the least: a curve that was measured to
    fall does not reach zero."""

    points: tuple[tuple[float, float], ...] = Field(min_length=2)
    kind: Kind
    source: str = Field(min_length=8)

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        along = [x for x, _ in self.points]
        if along != sorted(set(along)):
            raise ValueError(f"points: in ascending order, each once, got {along}")
        return self

    def at(self, x: float) -> float:
        """Return the value at ``x``."""
        points = self.points
        right = min(max(bisect_right(points, (x,)), 1), len(points) - 1)
        (x0, y0), (x1, y1) = points[right - 1 : right + 1]
        found = y0 + (y1 - y0) * (x - x0) / (x1 - x0)
        return max(found, y1) if x > x1 else found


def value_of(number: Number | None) -> float:
    """Return the value of a number that is 0 where a profile leaves it out."""
    return number.value if number is not None else 0.0
