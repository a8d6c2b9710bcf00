"""Expands counts per minute to arrivals, by a named rule (measurement rule 10).

Every rule keeps each function's count in each minute exactly, and no two arrivals of a function are
equal. Counts do not show which rule is right: ``uniform``, the default, is the distribution of a
Poisson process for given counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from .errors import WorkloadError
from .generators.process import Times
from .minutes import MinuteCounts
from .streams import stream
from .trace import Counts, Workload, from_arrivals

MINUTE_NS = 60_000_000_000

Rule = Callable[[np.random.Generator, Counts], Times]
"""Positions of the calls within their minute, in [0, 1), by minute and then in order."""


def uniform(random: np.random.Generator, counts: Counts) -> Times:
    """Independent uniform times."""
    return _ordered(random.uniform(size=int(counts.sum())), counts)


def poisson(random: np.random.Generator, counts: Counts) -> Times:
    """Exponential gaps before, between and after the calls, scaled to the minute: a Poisson process
    for a given count, which has the distribution of ``uniform``."""
    return _scaled(random, counts, beyond=1)


def exponential_normalised(random: np.random.Generator, counts: Counts) -> Times:
    """As many exponential gaps as calls, scaled to the minute, with the first call at its start:
    the rule of the InVitro load generator (Ustiugov et al., WORDS 2023). All functions therefore
    have arrivals at the start of every minute."""
    ends = _scaled(random, counts, beyond=0)
    return np.where(_place(counts) == 0, 0.0, np.roll(ends, 1))


def equidistant(random: np.random.Generator, counts: Counts) -> Times:  # noqa: ARG001
    """n calls at 0, 1/n, 2/n … of the minute; independent of the seed."""
    return np.asarray(_place(counts) / np.repeat(counts, counts))


RULES: Mapping[str, Rule] = {
    "uniform": uniform,
    "poisson": poisson,
    "exponential-normalised": exponential_normalised,
    "equidistant": equidistant,
}


def expand(minutes: MinuteCounts, seed: int, rule: str = "uniform") -> Workload:
    """Expand the counts; each function has its own random stream."""
    if rule not in RULES:
        raise WorkloadError(f"expansion {rule!r} is unknown; known: {', '.join(RULES)}")
    arrivals = {}
    for function in minutes.functions:
        counts = minutes.counts[function.id]
        parts = RULES[rule](stream(seed, function.id, "expand"), counts)
        arrivals[function.id] = _without_ties(counts, parts)
    provenance = minutes.provenance.then(rule, seed=seed)
    duration_ns = round(minutes.duration_s * 1e9)
    return from_arrivals(
        minutes.name, minutes.functions, arrivals, provenance, duration_ns, minutes=minutes.counts
    )


def seconds(counts: Counts, rule: str, random: np.random.Generator) -> Times:
    """Return one function's arrivals in seconds, sorted."""
    starts = np.repeat(np.arange(len(counts)) * 60.0, counts)
    return np.asarray(starts + RULES[rule](random, counts) * 60.0)


def _without_ties(counts: Counts, parts: Times) -> Counts:
    """Convert to distinct whole nanoseconds within each call's minute: an equal time is moved one
    nanosecond after the previous one, and never so late that later calls do not fit."""
    index = np.arange(len(parts))
    minute = np.repeat(np.arange(len(counts)), counts)
    times = minute * MINUTE_NS + (parts * MINUTE_NS).astype(np.int64)
    times = np.maximum.accumulate(times - index) + index
    after = np.repeat(np.cumsum(counts), counts) - 1 - index
    return np.asarray(np.minimum(times, (minute + 1) * MINUTE_NS - 1 - after), dtype=np.int64)


def _ordered(parts: Times, counts: Counts) -> Times:
    """Sort within each minute."""
    minute = np.repeat(np.arange(len(counts)), counts)
    return np.sort(minute + parts) - minute


def _place(counts: Counts) -> Counts:
    """Index of each call within its minute, from 0."""
    total = int(counts.sum())
    return np.asarray(np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts))


def _scaled(random: np.random.Generator, counts: Counts, beyond: int) -> Times:
    """Positions of the calls if gaps (``beyond`` more than calls) fill their minute."""
    busy = counts[counts > 0]
    gaps = busy + beyond
    so_far = np.cumsum(random.exponential(size=int(gaps.sum())))
    if not len(so_far):
        return so_far
    ends = so_far[np.cumsum(gaps) - 1]
    begins = np.concatenate(([0.0], ends[:-1]))
    parts = (so_far - np.repeat(begins, gaps)) / np.repeat(ends - begins, gaps)
    return np.asarray(parts[_place(gaps) < np.repeat(busy, gaps)])
