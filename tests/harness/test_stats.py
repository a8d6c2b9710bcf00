"""Intervals cover what they claim to, and too few samples say nothing."""

from __future__ import annotations

import numpy as np
import pytest

from harness.stats import enough, resamples, summarise
from workloads.streams import stream


def test_a_percentile_needs_a_sample_beyond_it() -> None:
    assert enough(100, 0.99)
    assert not enough(99, 0.99)
    document = summarise(np.arange(20.0))
    assert document["p95"] is not None
    assert document["p99"] is None
    assert document["ci95"]["p99"] is None
    assert document["n"] == 20


def test_nothing_is_made_of_nothing() -> None:
    document = summarise(np.array([np.nan, np.nan]))
    assert document["n"] == 0
    assert document["mean"] is None


def test_missing_values_are_left_out_and_not_zero() -> None:
    assert summarise(np.array([1.0, np.nan, 3.0]))["mean"] == 2.0


def test_resamples_are_made_of_runs_of_neighbours() -> None:
    drawn = resamples(np.arange(1000.0), seed=1, count=5)
    steps = np.diff(drawn, axis=1)
    assert (steps == 1).mean() > 0.85


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_nominal_95_percent_intervals_cover_the_mean(correlation: float) -> None:
    """Over 300 seeded series of 300; the block bootstrap holds where requests depend on their
    neighbours, the plain one would not."""
    hits = 0
    for trial in range(300):
        noise = stream(trial, "coverage", str(correlation)).standard_normal(300)
        series = np.empty(300)
        level = 0.0
        for index, shock in enumerate(noise):
            level = correlation * level + shock
            series[index] = level
        low, high = summarise(series, seed=trial)["ci95"]["mean"]
        hits += low <= 0 <= high
    assert 0.87 <= hits / 300 <= 0.98
