"""Predictable, Normal or Bursty from counts per minute, under three estimators of the CV.

The paper's classes are by the CV of inter-arrival times, which counts per minute do not give: it
depends on where in their minute the calls are put. Each estimator below is somebody's answer; a
class is worth believing where they agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from .errors import WorkloadError
from .expansion import seconds
from .minutes import MinuteCounts
from .statistics import burst_class, cv
from .streams import stream
from .trace import BurstClass, Counts

UNIFORM_SEEDS = 20


def instainfer_cv(counts: Counts) -> float:
    """As InstaInfer's published script selects functions (Sui et al., SoCC 2024,
    github.com/IntelliSys-Lab/InstaInfer-SoCC24, demo/Select_Trace_5min.py), gaps in minutes: n
    calls right after a busy minute have n gaps of 1/n; after z silent minutes the first has a gap
    of z + 1 and the others 1/(n-1) each. Silence at the end is left out, and the standard deviation
    is the population's."""
    busy = np.flatnonzero(counts)
    calls = counts[busy]
    silent = np.diff(np.concatenate(([-1], busy))) - 1
    after = silent > 0
    followed, more = calls[~after], calls[after & (calls > 1)] - 1
    gaps = np.concatenate(
        (silent[after] + 1.0, np.repeat(1 / followed, followed), np.repeat(1 / more, more))
    )
    return float(gaps.std() / gaps.mean()) if len(gaps) else float("nan")


def equidistant_cv(counts: Counts) -> float:
    """Calls at equal distances from the start of their minute on; the population's standard
    deviation."""
    gaps = np.diff(seconds(counts, "equidistant", np.random.default_rng()))
    return float(gaps.std() / gaps.mean()) if len(gaps) else float("nan")


def uniform_cvs(counts: Counts, seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Calls uniform within their minute, over ``UNIFORM_SEEDS`` seeds; the sample's standard
    deviation."""
    draws = (stream(seed, "classify", index) for index in range(UNIFORM_SEEDS))
    return np.array([cv(seconds(counts, "uniform", draw)) for draw in draws])


def uniform_cv(counts: Counts) -> float:
    """The mean of :func:`uniform_cvs`."""
    return float(uniform_cvs(counts).mean())


ESTIMATORS: Mapping[str, Callable[[Counts], float]] = {
    "instainfer": instainfer_cv,
    "equidistant": equidistant_cv,
    "uniform": uniform_cv,
}


@dataclass(frozen=True, slots=True)
class Classification:
    """One function's CV under each estimator and the classes that follow."""

    cvs: Mapping[str, float]

    @property
    def classes(self) -> Mapping[str, BurstClass]:
        return {name: burst_class(value) for name, value in self.cvs.items()}

    @property
    def agreed(self) -> BurstClass | None:
        """The class that all estimators give, or none."""
        found = set(self.classes.values())
        return found.pop() if len(found) == 1 else None


def classify(counts: Counts) -> Classification | None:
    """None below three calls, which have no CV."""
    if counts.sum() < 3:
        return None
    return Classification({name: estimate(counts) for name, estimate in ESTIMATORS.items()})


def segments(
    minutes: MinuteCounts,
    wanted: BurstClass,
    *,
    seed: int,
    count: int = 8,
    functions: int = 8,
    length_min: int = 240,
) -> list[MinuteCounts]:
    """``count`` random stretches of ``length_min`` minutes, each with ``functions`` random
    functions that all estimators put into ``wanted`` over that stretch: the paper's "eight 4-hour
    segments" of a class. ``WorkloadError`` where there are not enough."""
    last = minutes.minutes - length_min
    if last < 0:
        raise WorkloadError(f"{minutes.name}: {minutes.minutes} minutes, not {length_min}")
    return [_segment(minutes, wanted, seed, i, functions, length_min) for i in range(count)]


def _segment(
    minutes: MinuteCounts, wanted: BurstClass, seed: int, index: int, functions: int, length: int
) -> MinuteCounts:
    random = stream(seed, "segment", wanted, index)
    start = int(random.integers(minutes.minutes - length + 1))
    order = random.permutation(len(minutes.functions))
    cut = {f.id: minutes.counts[f.id][start : start + length] for f in minutes.functions}
    chosen = []
    for function in (minutes.functions[int(place)] for place in order):
        found = classify(cut[function.id])
        if found is not None and found.agreed == wanted:
            chosen.append(function.model_copy(update={"burst_class": wanted}))
        if len(chosen) == functions:
            break
    else:
        raise WorkloadError(
            f"{minutes.name}: {len(chosen)} {wanted} functions in minutes {start} to"
            f" {start + length}, {functions} are wanted"
        )
    provenance = minutes.provenance.then(
        "segment", wanted=wanted, seed=seed, index=index, start_min=start, length_min=length
    )
    name = f"{minutes.name}-{wanted}{functions}-{index}"
    return MinuteCounts(name, tuple(chosen), {f.id: cut[f.id] for f in chosen}, provenance)


def agreement(minutes: MinuteCounts) -> Iterator[tuple[str, Classification]]:
    """Each function's classification, those without one left out."""
    for function in minutes.functions:
        found = classify(minutes.counts[function.id])
        if found is not None:
            yield function.id, found
