"""Fits the parameters of an arrival process to a recording, and measures the goodness of fit.

The data select the process: each candidate gets its parameters from moments of the recording, and
the one whose simulated statistics are closest to the observed ones is chosen.

Counts per minute show clusters: a function's minutes are split wherever it is silent for
``silence`` minutes; the clusters' gaps, sizes and lengths are the parameters. One cluster per
minute is also a candidate. Exact arrivals show gaps as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np
from pydantic import ValidationError

from .expansion import seconds
from .generators import Process, process
from .generators.clusters import Clusters
from .generators.process import Times
from .generators.stationary_clusters import StationaryClusters
from .minutes import MINUTE_S
from .statistics import counts as windows
from .statistics import cv, dispersion, peak_to_mean
from .streams import stream
from .trace import Counts

SEEDS = 20
_SILENCES = (1, 2, 3, 5, 8, 12, 20, 30, 45)
_BUSY_SHARES = (0.05, 0.1, 0.2, 0.35, 0.5)
_BEYOND_A_MINUTE = (1.0, 1.5, 2.5, 4.0)
"""Limiting index of dispersion over that at 60 s; bursts longer than a minute make it larger."""
_BY_MINUTE = ("rate_rps", "cv", "dispersion_60s", "peak_to_mean")
_BY_ARRIVAL = (*_BY_MINUTE, "dispersion_1s")


@dataclass(frozen=True, slots=True)
class Fit:
    """Fitted parameters, with the observed statistics and the median of ``SEEDS`` simulated traces
    of the same length."""

    process: Process
    observed: dict[str, float]
    simulated: dict[str, float]

    @property
    def distance(self) -> float:
        """Mean absolute log ratio over the statistics; 0.1 is a deviation of about 10 %."""
        ratios = [
            abs(np.log(self.simulated[name] / value))
            for name, value in self.observed.items()
            if value > 0 and self.simulated[name] > 0
        ]
        return float(np.mean(ratios)) if ratios else float("inf")


def fit(counts: Counts, seed: int = 0, clusters: type[Clusters] = StationaryClusters) -> Fit:
    """Return the best candidate for one function's counts per minute, of the kind ``clusters``. Its
    calls are assumed uniform within their minutes (median over ``SEEDS`` seeds)."""
    duration_s = len(counts) * MINUTE_S
    draws = (stream(seed, "observed", index) for index in range(SEEDS))
    samples = [_measure(seconds(counts, "uniform", r), duration_s, _BY_MINUTE) for r in draws]
    return _best(_clusterings(counts, clusters), _median(samples), duration_s, seed)


def fit_arrivals(arrivals_s: Times, duration_s: float, seed: int = 0) -> Fit:
    """Return the best candidate for exact arrivals, at least three."""
    observed = _measure(arrivals_s, duration_s, _BY_ARRIVAL)
    return _best(_point_processes(arrivals_s, duration_s, observed), observed, duration_s, seed)


def _best(
    candidates: Iterable[Process], observed: dict[str, float], duration_s: float, seed: int
) -> Fit:
    fits = [
        Fit(candidate, observed, _simulated(candidate, duration_s, tuple(observed), seed))
        for candidate in candidates
    ]
    return min(fits, key=lambda each: each.distance)


def _point_processes(
    arrivals_s: Times, duration_s: float, observed: dict[str, float]
) -> Iterator[Process]:
    rate, gap_cv, iod = (observed[name] for name in ("rate_rps", "cv", "dispersion_60s"))
    tables: list[dict[str, float | str]] = [{"kind": "poisson"}]
    tables += [{"kind": kind, "cv": gap_cv} for kind in ("gamma", "weibull", "hyper-exponential")]
    tables += [
        {"kind": "mmpp-2", "cv": gap_cv, "dispersion": iod * beyond, "busy_share": share}
        for share in _BUSY_SHARES
        for beyond in _BEYOND_A_MINUTE
    ]
    rate_cv = sqrt(max(0.0, iod - 1) / (rate * MINUTE_S))
    memory = _memory(windows(arrivals_s, MINUTE_S, duration_s), rate * MINUTE_S)
    tables.append({"kind": "doubly-stochastic", "rate_cv": rate_cv, "memory": memory})
    for table in tables:
        rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in table.items()}
        try:
            yield process({"rate_rps": round(rate, 6), **rounded})
        except ValidationError:
            continue  # these moments are impossible for the process


def _memory(found: Times, mean: float) -> float:
    """Correlation of neighbouring minutes' rates: that of their counts minus the Poisson part."""
    excess = float(found.var()) - mean
    if len(found) < 3 or excess <= 0:
        return 0.0
    shared = float(np.mean((found[1:] - mean) * (found[:-1] - mean)))
    return min(0.99, max(0.0, shared / excess))


def _clusterings(counts: Counts, clusters: type[Clusters]) -> Iterator[Process]:
    mean = float(counts.mean())
    yield clusters(
        period_s=MINUTE_S,
        size=round(mean, 4),
        size_cv=round(float(counts.std() / mean), 4),
        spread_s=MINUTE_S,
        least=0,
        grid_s=MINUTE_S,
    )
    for silence in _SILENCES:
        found = _clusters(counts, silence, clusters)
        if found is not None:
            yield found


def _clusters(counts: Counts, silence: int, clusters: type[Clusters]) -> Clusters | None:
    """Split at ``silence`` or more empty minutes; None if fewer than three clusters result."""
    busy = np.flatnonzero(counts)
    cuts = np.flatnonzero(np.diff(busy) > silence) + 1
    groups = np.split(busy, cuts)
    if len(groups) < 3:
        return None
    sizes = np.array([counts[group].sum() for group in groups], dtype=float)
    gaps = np.diff([group[0] for group in groups])
    # Mean position of a call in its cluster; a uniform spread is twice that plus a minute.
    into = sum(float(((group - group[0]) * counts[group]).sum()) for group in groups)
    spread_s = MINUTE_S * (1 + 2 * into / counts.sum())
    # The rate is matched exactly: it determines the period, rather than the mean gap.
    period_s = len(counts) * MINUTE_S * sizes.mean() / counts.sum()
    return clusters(
        period_s=round(float(period_s), 3),
        period_cv=round(float(gaps.std() / gaps.mean()), 4),
        size=round(float(sizes.mean()), 4),
        size_cv=round(float(sizes.std() / sizes.mean()), 4),
        spread_s=round(spread_s, 3),
        grid_s=MINUTE_S,
    )


def measure(arrivals_s: Times, duration_s: float) -> dict[str, float]:
    """Compute all statistics that a fit is judged by."""
    return {
        "rate_rps": len(arrivals_s) / duration_s,
        "cv": cv(arrivals_s),
        "dispersion_60s": dispersion(arrivals_s, MINUTE_S, duration_s),
        "peak_to_mean": peak_to_mean(arrivals_s, duration_s),
        "dispersion_1s": dispersion(arrivals_s, 1.0, duration_s),
    }


def _measure(arrivals_s: Times, duration_s: float, names: tuple[str, ...]) -> dict[str, float]:
    found = measure(arrivals_s, duration_s)
    return {name: found[name] for name in names}


def _simulated(
    shape: Process, duration_s: float, names: tuple[str, ...], seed: int
) -> dict[str, float]:
    draws = (stream(seed, "simulated", index) for index in range(SEEDS))
    return _median([_measure(shape.arrivals(r, duration_s), duration_s, names) for r in draws])


def _median(samples: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.nanmedian([s[name] for s in samples])) for name in samples[0]}
