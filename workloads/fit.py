"""From counts per minute to the parameters of renewal clusters, and how well they fit.

A function's minutes are cut into clusters wherever it was silent for ``silence`` minutes; the
clusters' gaps, sizes and lengths are the parameters, by their moments. Which ``silence`` is right
is left to the data: the one whose simulated CV, index of dispersion at 60 s and peak-to-mean come
closest to the observed ones. Every minute as a cluster of its own is among the candidates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .generators.clusters import Clusters
from .minutes import MINUTE_S, Counts
from .statistics import cv, dispersion, peak_to_mean
from .streams import stream

SEEDS = 20
_SILENCES = (1, 2, 3, 5, 8, 12, 20, 30, 45)
_MEASURES = ("rate_rps", "cv", "dispersion_60s", "peak_to_mean")


@dataclass(frozen=True, slots=True)
class Fit:
    """Parameters with what they are judged by: the observed statistics beside the median of
    ``SEEDS`` simulated traces of the same length."""

    process: Clusters
    observed: dict[str, float]
    simulated: dict[str, float]

    @property
    def distance(self) -> float:
        """Mean absolute log ratio over the statistics; 0.1 is about 10 % off."""
        ratios = [
            abs(np.log(self.simulated[name] / self.observed[name]))
            for name in _MEASURES
            if self.observed[name] > 0 and self.simulated[name] > 0
        ]
        return float(np.mean(ratios)) if ratios else float("inf")


def fit(counts: Counts, seed: int = 0) -> Fit:
    """The best of the candidates for one function's counts per minute."""
    observed = _observed(counts, seed)
    fits = [
        Fit(process, observed, _simulated(process, len(counts) * MINUTE_S, seed))
        for process in _candidates(counts)
    ]
    return min(fits, key=lambda each: each.distance)


def _candidates(counts: Counts) -> Iterator[Clusters]:
    mean = float(counts.mean())
    yield Clusters(
        period_s=MINUTE_S,
        size=round(mean, 4),
        size_cv=round(float(counts.std() / mean), 4),
        spread_s=MINUTE_S,
        least=0,
        grid_s=MINUTE_S,
    )
    for silence in _SILENCES:
        process = _clusters(counts, silence)
        if process is not None:
            yield process


def _clusters(counts: Counts, silence: int) -> Clusters | None:
    """Cut at ``silence`` empty minutes; None where too few clusters are left to speak of."""
    busy = np.flatnonzero(counts)
    cuts = np.flatnonzero(np.diff(busy) > silence) + 1
    groups = np.split(busy, cuts)
    if len(groups) < 3:
        return None
    sizes = np.array([counts[group].sum() for group in groups], dtype=float)
    gaps = np.diff([group[0] for group in groups])
    # How far into its cluster the mean call lies; a uniform spread has twice that and a minute.
    into = sum(float(((group - group[0]) * counts[group]).sum()) for group in groups)
    spread_s = MINUTE_S * (1 + 2 * into / counts.sum())
    # The rate is matched exactly: the period follows from it, not from the gaps' mean.
    period_s = len(counts) * MINUTE_S * sizes.mean() / counts.sum()
    return Clusters(
        period_s=round(float(period_s), 3),
        period_cv=round(float(gaps.std() / gaps.mean()), 4),
        size=round(float(sizes.mean()), 4),
        size_cv=round(float(sizes.std() / sizes.mean()), 4),
        spread_s=round(spread_s, 3),
        grid_s=MINUTE_S,
    )


def measure(arrivals_s: Any, duration_s: float) -> dict[str, float]:
    """The statistics a fit is judged by."""
    return {
        "rate_rps": len(arrivals_s) / duration_s,
        "cv": cv(arrivals_s),
        "dispersion_60s": dispersion(arrivals_s, MINUTE_S, duration_s),
        "peak_to_mean": peak_to_mean(arrivals_s, duration_s),
    }


def _observed(counts: Counts, seed: int) -> dict[str, float]:
    """Of the counts, arrivals uniform within each minute, the median over as many seeds."""
    starts = np.repeat(np.arange(len(counts)), counts) * MINUTE_S
    duration_s = len(counts) * MINUTE_S
    draws = (stream(seed, "observed", index) for index in range(SEEDS))
    return _median(
        [measure(np.sort(starts + r.uniform(0, MINUTE_S, len(starts))), duration_s) for r in draws]
    )


def _simulated(process: Clusters, duration_s: float, seed: int) -> dict[str, float]:
    draws = (stream(seed, "simulated", index) for index in range(SEEDS))
    return _median([measure(process.arrivals(r, duration_s), duration_s) for r in draws])


def _median(samples: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.nanmedian([s[name] for s in samples])) for name in _MEASURES}
