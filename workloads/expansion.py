"""Counts per minute to arrivals, by a named rule (measurement rule 10).

Every rule keeps each function's count in each minute exactly and never lets two arrivals of a
function tie. Which rule is right cannot be told from counts: ``uniform`` is what a Poisson process
looks like given its counts, and the default.
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
"""Parts of a minute, in [0, 1), of each call of each minute, by minute and then in order."""


def uniform(random: np.random.Generator, counts: Counts) -> Times:
    """Independent uniform times."""
    return _ordered(random.uniform(size=int(counts.sum())), counts)


def poisson(random: np.random.Generator, counts: Counts) -> Times:
    """Exponential gaps before, between and after the calls, scaled to the minute: a Poisson
    process given its count, which is the law of ``uniform`` drawn in another way."""
    return _scaled(random, counts, beyond=1)


def exponential_normalised(random: np.random.Generator, counts: Counts) -> Times:
    """As many exponential gaps as calls, scaled to fill the minute, the first call at its start;
    the rule of the InVitro load generator (Ustiugov et al., WORDS 2023), whose functions therefore
    tie with one another at every minute."""
    ends = _scaled(random, counts, beyond=0)
    return np.where(_place(counts) == 0, 0.0, np.roll(ends, 1))


def equidistant(random: np.random.Generator, counts: Counts) -> Times:  # noqa: ARG001
    """n calls at 0, 1/n, 2/n … of the minute; no seed has a say."""
    return np.asarray(_place(counts) / np.repeat(counts, counts))


RULES: Mapping[str, Rule] = {
    "uniform": uniform,
    "poisson": poisson,
    "exponential-normalised": exponential_normalised,
    "equidistant": equidistant,
}


def expand(minutes: MinuteCounts, seed: int, rule: str = "uniform") -> Workload:
    """The workload of these counts; each function's times from a stream of its own."""
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
    """One function's arrivals in seconds, sorted."""
    starts = np.repeat(np.arange(len(counts)) * 60.0, counts)
    return np.asarray(starts + RULES[rule](random, counts) * 60.0)


def _without_ties(counts: Counts, parts: Times) -> Counts:
    """Whole nanoseconds within each call's minute, no two the same: a call that would tie comes a
    nanosecond after the one before, and none later than leaves room for those after it."""
    index = np.arange(len(parts))
    minute = np.repeat(np.arange(len(counts)), counts)
    times = minute * MINUTE_NS + (parts * MINUTE_NS).astype(np.int64)
    times = np.maximum.accumulate(times - index) + index
    after = np.repeat(np.cumsum(counts), counts) - 1 - index
    return np.asarray(np.minimum(times, (minute + 1) * MINUTE_NS - 1 - after), dtype=np.int64)


def _ordered(parts: Times, counts: Counts) -> Times:
    """Sorted within each minute."""
    minute = np.repeat(np.arange(len(counts)), counts)
    return np.sort(minute + parts) - minute


def _place(counts: Counts) -> Counts:
    """Of each call, which of its minute it is, from 0."""
    total = int(counts.sum())
    return np.asarray(np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts))


def _scaled(random: np.random.Generator, counts: Counts, beyond: int) -> Times:
    """Where each minute's calls are if its gaps, ``beyond`` more than calls, fill it."""
    busy = counts[counts > 0]
    gaps = busy + beyond
    so_far = np.cumsum(random.exponential(size=int(gaps.sum())))
    if not len(so_far):
        return so_far
    ends = so_far[np.cumsum(gaps) - 1]
    begins = np.concatenate(([0.0], ends[:-1]))
    parts = (so_far - np.repeat(begins, gaps)) / np.repeat(ends - begins, gaps)
    return np.asarray(parts[_place(gaps) < np.repeat(busy, gaps)])
