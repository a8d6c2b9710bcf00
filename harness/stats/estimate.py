"""An estimate: a number, its sample size and its 95 % interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .arrays import Interval, Values
from .mean import mean_interval
from .quantile import QUANTILES, quantile_interval, quantile_of
from .series import Series


@dataclass(frozen=True, slots=True)
class Estimate:
    """``value`` and ``ci95`` are None if there are too few samples."""

    value: float | None
    n: int
    ci95: Interval | None = None


def estimates(series: Series) -> dict[str, Estimate]:
    """Estimate ``mean`` and ``p50`` to ``p99``."""
    count = len(series)
    if not count:
        return {part: Estimate(None, 0) for part in ("mean", *QUANTILES)}
    parts = {
        "mean": Estimate(float(series.values.mean()), count, mean_interval(series)),
    }
    for name, quantile in QUANTILES.items():
        value = quantile_of(series, quantile)
        interval = None if value is None else quantile_interval(series, quantile)
        parts[name] = Estimate(value, count, interval)
    return parts


def summarise(values: Series | Values) -> dict[str, Any]:
    """Return ``{n, effective_n, mean, p50 … p99, ci95: {mean: [low, high], …}}`` of values in order
    of arrival; NaN values are ignored. Entries are None if there are too few samples."""
    series = values if isinstance(values, Series) else Series.of(values)
    parts = estimates(series)
    return {
        "n": len(series),
        "effective_n": round(series.dependence.effective_n, 1) if len(series) else None,
        **{name: part.value for name, part in parts.items()},
        "ci95": {name: part.ci95 and list(part.ci95) for name, part in parts.items()},
    }
