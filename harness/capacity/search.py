"""Which load to test next, from the loads that were tested. No I/O and no state: a search that is
interrupted continues from its observations.

The start is doubled until a load fails, or halved until one passes. Then the bracket is halved on a
logarithmic scale, and finally one load on either side of it is checked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .limits import Limits

STEP = 2.0
"""Factor between loads while one end of the bracket is missing."""
CHECK = 1.5
"""Factor between an end of the bracket and the load that checks it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tested load showed. ``saturated``: the queue grew as long as requests came, so that
    no higher load can pass."""

    feasible: bool
    saturated: bool = False


Observed = Mapping[float, Outcome]


@dataclass(frozen=True, slots=True)
class Bracket:
    """``feasible_max``: the highest load that passed; ``infeasible_min``: the lowest load above it
    that failed, or the lowest that failed if none passed. None: none did."""

    feasible_max: float | None
    infeasible_min: float | None


def bracket(feasible: Mapping[float, bool]) -> Bracket:
    """Return the bracket of tested loads."""
    low = max((load for load, passed in feasible.items() if passed), default=None)
    above = (load for load, passed in feasible.items() if not passed and load > (low or 0.0))
    return Bracket(low, min(above, default=None))


def failing_below(feasible: Mapping[float, bool]) -> list[float]:
    """Return the loads that failed although a higher one passed, in ascending order."""
    low = bracket(feasible).feasible_max
    return sorted(load for load, passed in feasible.items() if not passed and load < (low or 0.0))


def next_load(observed: Observed, limits: Limits) -> float | None:
    """Return the load to test next; None if the search is over. It is never a tested one."""
    if not observed:
        return limits.start
    if len(observed) >= limits.points:
        return None
    found = bracket({load: each.feasible for load, each in observed.items()})
    low, high = found.feasible_max, found.infeasible_min
    if low is None:
        return _first_feasible(observed, limits)
    if high is None:
        return _raised(low, limits)
    if high / low > 1 + limits.tolerance:
        return _rounded(math.sqrt(low * high))
    return next(_checks(low, high, observed, limits), None)


def _first_feasible(observed: Observed, limits: Limits) -> float | None:
    """No load has passed. Try lower ones, then higher ones: a low load may miss a goal by its cold
    starts, but a load above a saturated one cannot pass."""
    lowest, highest = min(observed), max(observed)
    if lowest > limits.lowest:
        return max(_rounded(lowest / STEP), limits.lowest)
    saturated = any(each.saturated for each in observed.values())
    return None if saturated else _raised(highest, limits)


def _raised(load: float, limits: Limits) -> float | None:
    return None if load >= limits.highest else min(_rounded(load * STEP), limits.highest)


def _checks(low: float, high: float, observed: Observed, limits: Limits) -> Iterator[float]:
    """Yield the loads that check the bracket, except those that a tested load is close to."""
    if not limits.checks:
        return
    for load in (_rounded(low / CHECK), _rounded(high * CHECK)):
        inside = limits.lowest <= load <= limits.highest
        if inside and not any(_close(load, each, limits.tolerance) for each in observed):
            yield load


def _close(one: float, other: float, tolerance: float) -> bool:
    return max(one, other) / min(one, other) <= 1 + tolerance


def _rounded(load: float) -> float:
    """Round to four significant digits, so that a load can be the name of a folder."""
    return float(f"{load:.4g}")
