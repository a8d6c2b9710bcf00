"""Rule 1: the schedule is the requested one, for any number of load workers.

A subject returns the send times (ns) of all workers together for a seed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from harness.replay.schedule import Schedule
from workloads.streams import stream

from .mutant import Mutant

Times = np.ndarray[Any, np.dtype[np.int64]]
Subject = Callable[[int, int], Times]

RATE_RPS, SECONDS, NS = 25, 600, 1_000_000_000
WORKERS = (1, 2, 8, 32)


def poisson(generator: np.random.Generator, rate_rps: float) -> Times:
    gaps = generator.exponential(NS / rate_rps, int(rate_rps * SECONDS))
    return np.cumsum(gaps).astype(np.int64)


def schedule(times: Times) -> Schedule:
    return Schedule.from_columns(
        request_id=range(len(times)),
        scheduled_ns=times,
        function_id=["f"] * len(times),
        prompt_ids=[[1]] * len(times),
        output_tokens=[1] * len(times),
    )


def merged(parts: list[Times]) -> Times:
    return np.sort(np.concatenate(parts))


def ours(seed: int, workers: int) -> Times:
    whole = schedule(poisson(stream(seed, "arrivals"), RATE_RPS))
    shares = [whole.share(worker, workers) for worker in range(workers)]
    return merged([share.table["scheduled_ns"].to_numpy() for share in shares])


def a_generator_each_with_the_same_seed(seed: int, workers: int) -> Times:
    """Every worker repeats the same gaps, which makes the load burstier than requested."""
    return merged([poisson(stream(seed, "arrivals"), RATE_RPS / workers)] * workers)


def a_generator_each(seed: int, workers: int) -> Times:
    """Poisson for any number of workers, but a different schedule for each number."""
    parts = [poisson(stream(seed, worker), RATE_RPS / workers) for worker in range(workers)]
    return merged(parts)


def unseeded(seed: int, workers: int) -> Times:
    return poisson(np.random.default_rng(), RATE_RPS)


def overlapping_shares(seed: int, workers: int) -> Times:
    """Make blocks that each start with the last request of the previous block."""
    whole = poisson(stream(seed, "arrivals"), RATE_RPS)
    blocks = np.array_split(whole, workers)
    return merged([blocks[0], *(np.append(a[-1:], b) for a, b in itertools.pairwise(blocks))])


def gaps_stay_exponential(subject: Subject) -> None:
    for workers in WORKERS:
        gaps = np.diff(subject(3, workers))
        fit = stats.kstest(gaps, "expon", args=(0, NS / RATE_RPS))
        assert fit.pvalue > 1e-3, f"{workers} workers"


def dispersion(times: Times, window_s: int) -> float:
    """Return the variance of the counts per window divided by their mean."""
    windows = int(times[-1] // (window_s * NS))
    counts = np.bincount(times // (window_s * NS), minlength=windows)[:windows]
    return float(counts.var() / counts.mean())


def dispersion_stays(subject: Subject) -> None:
    whole = poisson(stream(3, "arrivals"), RATE_RPS)
    for workers in WORKERS:
        times = subject(3, workers)
        for window_s in (1, 10, 60):
            ratio = dispersion(times, window_s) / dispersion(whole, window_s)
            assert abs(ratio - 1) < 0.05, f"{workers} workers, {window_s} s"


def same_times_for_any_number(subject: Subject) -> None:
    for workers in WORKERS:
        assert np.array_equal(subject(3, workers), subject(3, 1)), f"{workers} workers"


def same_times_every_time(subject: Subject) -> None:
    assert np.array_equal(subject(3, 1), subject(3, 1))


def keeps_every_nanosecond(subject: Callable[[Times], Times]) -> None:
    arrivals = poisson(stream(5, "arrivals"), RATE_RPS)
    assert np.array_equal(subject(arrivals), arrivals)


def keeps_constant_gaps(subject: Callable[[Times], Times]) -> None:
    arrivals = np.arange(1000, dtype=np.int64) * 7_000_001
    assert set(np.diff(subject(arrivals)).tolist()) == {7_000_001}


def scheduled(arrivals: Times) -> Times:
    return np.asarray(schedule(arrivals).table["scheduled_ns"].to_numpy())


def last_on_a_whole_second(arrivals: Times) -> Times:
    return np.append(arrivals[:-1], -(-arrivals[-1] // NS) * NS)


def redrawn_around_the_mean(arrivals: Times) -> Times:
    gaps = stream(0, "constant").exponential(np.diff(arrivals).mean(), len(arrivals) - 1)
    return np.concatenate([arrivals[:1], arrivals[0] + np.cumsum(gaps).astype(np.int64)])


EXHIBITS = [
    Mutant(1, "workers repeat each other's gaps", gaps_stay_exponential, ours,
            a_generator_each_with_the_same_seed),
    Mutant(1, "more workers, burstier load", dispersion_stays, ours,
            a_generator_each_with_the_same_seed),
    Mutant(1, "another schedule for each number of workers", same_times_for_any_number, ours,
            a_generator_each),
    Mutant(1, "shares overlap", same_times_for_any_number, ours, overlapping_shares),
    Mutant(1, "unseeded", same_times_every_time, ours, unseeded),
    Mutant(1, "last arrival pinned to a whole second", keeps_every_nanosecond, scheduled,
            last_on_a_whole_second),
    Mutant(1, "constant that is exponential", keeps_constant_gaps, scheduled,
            redrawn_around_the_mean),
]  # fmt: skip
