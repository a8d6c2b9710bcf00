"""Classifies functions as Predictable, Normal or Bursty from counts per minute, with three
estimators of the CV.

The paper's classes use the CV of inter-arrival times, which counts per minute do not determine: it
depends on the positions of calls within a minute. Each estimator makes another assumption; a class
is reliable if they agree.
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
    """CV as in InstaInfer's published script that selects functions (Sui et al., SoCC 2024,
    github.com/IntelliSys-Lab/InstaInfer-SoCC24, demo/Select_Trace_5min.py), gaps in minutes: n
    calls right after a busy minute have n gaps of 1/n; after z silent minutes the first has a gap
    of z + 1 and the others 1/(n-1) each. Silence at the end is ignored. Population standard
    deviation."""
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
    """CV with equidistant calls from the start of their minute; population standard deviation."""
    gaps = np.diff(seconds(counts, "equidistant", np.random.default_rng()))
    return float(gaps.std() / gaps.mean()) if len(gaps) else float("nan")


def uniform_cvs(counts: Counts, seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """CVs with calls uniform in their minute, ``UNIFORM_SEEDS`` seeds; sample deviation."""
    draws = (stream(seed, "classify", index) for index in range(UNIFORM_SEEDS))
    return np.array([cv(seconds(counts, "uniform", draw)) for draw in draws])


def uniform_cv(counts: Counts) -> float:
    """Mean of :func:`uniform_cvs`."""
    return float(uniform_cvs(counts).mean())


ESTIMATORS: Mapping[str, Callable[[Counts], float]] = {
    "instainfer": instainfer_cv,
    "equidistant": equidistant_cv,
    "uniform": uniform_cv,
}


@dataclass(frozen=True, slots=True)
class Classification:
    """One function's CV under each estimator, and the resulting classes."""

    cvs: Mapping[str, float]

    @property
    def classes(self) -> Mapping[str, BurstClass]:
        return {name: burst_class(value) for name, value in self.cvs.items()}

    @property
    def agreed(self) -> BurstClass | None:
        """The class if all estimators agree, else None."""
        found = set(self.classes.values())
        return found.pop() if len(found) == 1 else None


def classify(counts: Counts) -> Classification | None:
    """Classify one function; None below three calls, which have no CV."""
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
    """Return ``count`` random stretches of ``length_min`` minutes, each with ``functions`` random
    functions that all estimators classify as ``wanted`` in that stretch: the paper's "eight 4-hour
    segments" of a class. Raises ``WorkloadError`` if there are not enough."""
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
            f" {start + length}, {functions} are needed; take fewer (--functions) or more hours"
        )
    provenance = minutes.provenance.then(
        "segment", wanted=wanted, seed=seed, index=index, start_min=start, length_min=length
    )
    name = f"{minutes.name}-{wanted}{functions}-{index}"
    return MinuteCounts(name, tuple(chosen), {f.id: cut[f.id] for f in chosen}, provenance)


def agreement(minutes: MinuteCounts) -> Iterator[tuple[str, Classification]]:
    """Yield each function's classification, if it has one."""
    for function in minutes.functions:
        found = classify(minutes.counts[function.id])
        if found is not None:
            yield function.id, found
