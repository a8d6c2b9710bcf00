"""The value of a metric in a cell: its estimates, and how cells are pooled and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, Self

import numpy as np

from ..stats import (
    QUANTILES,
    Estimate,
    Interval,
    Series,
    estimates,
    mean_interval,
    mean_ratio_interval,
    quantile_ratio_interval,
    share_interval,
    student_interval,
    student_ratio_interval,
)

VALUE = "value"


class Observation(Protocol):
    """The observation of one cell, or of several pooled cells."""

    @property
    def estimates(self) -> Mapping[str, Estimate]:
        """By part: ``mean`` and percentiles of a sample, ``value`` of a scalar."""

    @classmethod
    def pooled(cls, cells: Sequence[Self]) -> Self:
        """Pool cells of one system and workload over seeds and repeats."""

    def ratio(self, baseline: Self, part: str, *, paired: bool) -> Estimate:
        """Ratio to the baseline. ``paired``: both received the same schedules in the same order."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One value per request (or per token): its mean and percentiles."""

    series: Series

    @cached_property
    def estimates(self) -> Mapping[str, Estimate]:
        return estimates(self.series)

    @classmethod
    def pooled(cls, cells: Sequence[Sample]) -> Sample:
        return cls(Series.pooled([cell.series for cell in cells]))

    def ratio(self, baseline: Sample, part: str, *, paired: bool) -> Estimate:
        series = (self.series, baseline.series)
        if part in QUANTILES:
            interval = quantile_ratio_interval(*series, QUANTILES[part], paired=paired)
        else:
            interval = mean_ratio_interval(*series, paired=paired)
        return _ratio(self.estimates[part], baseline.estimates[part], interval)


@dataclass(frozen=True, eq=False)
class Scaled:
    """(mean of ``series`` × ``over`` / ``per``) ^ ``power``. A rate is a value per request times
    requests per second. A cell's duration and cost are treated as exact. ``share``: the values are
    zeros and ones."""

    series: Series
    over: float = 1.0
    per: float = 1.0
    power: int = 1
    share: bool = False

    @cached_property
    def estimates(self) -> Mapping[str, Estimate]:
        count = len(self.series)
        if not count or self.per <= 0:
            return {VALUE: Estimate(None, count)}
        interval = (share_interval if self.share else mean_interval)(self.series)
        mean = float(self.series.values.mean())
        return {VALUE: Estimate(self._scaled(mean), count, _mapped(interval, self._scaled))}

    def _scaled(self, mean: float) -> float | None:
        product = mean * self.over / self.per
        return product**self.power if self.power > 0 or product > 0 else None

    @classmethod
    def pooled(cls, cells: Sequence[Scaled]) -> Scaled:
        return cls(
            Series.pooled([cell.series for cell in cells]),
            sum(cell.over for cell in cells),
            sum(cell.per for cell in cells),
            cells[0].power,
            cells[0].share,
        )

    def ratio(self, baseline: Scaled, part: str, *, paired: bool) -> Estimate:
        ours, theirs = self.estimates[part], baseline.estimates[part]
        interval = mean_ratio_interval(self.series, baseline.series, paired=paired)
        if interval is not None and min(self.over, self.per, baseline.over, baseline.per) > 0:
            factor = self.over / self.per * baseline.per / baseline.over
            interval = _mapped(interval, lambda ratio: (ratio * factor) ** self.power)
        return _ratio(ours, theirs, interval)


@dataclass(frozen=True, eq=False)
class Total:
    """One number per cell, such as its bill. It has an interval only over repeated cells."""

    cells: tuple[float, ...]

    @cached_property
    def estimates(self) -> Mapping[str, Estimate]:
        value = float(np.mean(self.cells))
        return {VALUE: Estimate(value, len(self.cells), student_interval(self.cells))}

    @classmethod
    def pooled(cls, cells: Sequence[Total]) -> Total:
        return cls(tuple(value for cell in cells for value in cell.cells))

    def ratio(self, baseline: Total, part: str, *, paired: bool) -> Estimate:
        interval = None
        if paired and min(*self.cells, *baseline.cells) > 0:
            interval = student_ratio_interval(self.cells, baseline.cells)
        return _ratio(self.estimates[part], baseline.estimates[part], interval)


def _ratio(ours: Estimate, theirs: Estimate, interval: Interval | None) -> Estimate:
    count = min(ours.n, theirs.n)
    if ours.value is None or not theirs.value:
        return Estimate(None, count)
    return Estimate(ours.value / theirs.value, count, interval)


def _mapped(interval: Interval | None, scale: Callable[[float], float | None]) -> Interval | None:
    """Apply a monotonic function to both ends, and sort them."""
    if interval is None:
        return None
    first, second = (scale(end) for end in interval)
    if first is None or second is None:
        return None
    return min(first, second), max(first, second)
