"""Cluster processes have the requested rate, cluster size and spread."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads.generators.clusters import Clusters, draw_counts
from workloads.generators.stationary_clusters import StationaryClusters
from workloads.statistics import cv, dispersion
from workloads.streams import stream
from workloads.synthesis import generate
from workloads.trace import TraceFunction

HOURS = 3600.0 * 200


@pytest.mark.parametrize(
    "process",
    [
        Clusters(period_s=60, size=3, size_cv=0.4, spread_s=60, least=0),
        Clusters(period_s=600, period_cv=1.0, size=20, size_cv=1.5, spread_s=120),
        Clusters(period_s=300, period_cv=0.3, size=6, size_cv=0.05, spread_s=60, grid_s=60),
    ],
)
def test_the_rate_is_size_over_period(process: Clusters) -> None:
    rates = [len(process.arrivals(stream(s, "rate"), HOURS)) / HOURS for s in range(8)]
    assert np.mean(rates) == pytest.approx(process.mean_rate_rps, rel=0.06)


@pytest.mark.parametrize("spread", [0.0, 0.4, 1.0, 2.2])
def test_a_stationary_load_begins_as_at_any_other_time(spread: float) -> None:
    """With a part of an ordinary gap before it, it begins with a burst."""
    process = StationaryClusters(period_s=1000, period_cv=spread, size=4, spread_s=60)
    found = [process.arrivals(stream(seed, "start"), 3000.0) for seed in range(2000)]
    for begin_s in (0, 1000, 2800):
        counts = np.array([((a >= begin_s) & (a < begin_s + 200)).sum() for a in found])
        wanted, error = process.mean_rate_rps * 200, counts.std() / np.sqrt(len(counts))
        assert abs(counts.mean() - wanted) < 4 * error


def test_single_calls_with_exponential_gaps_are_poisson() -> None:
    process = Clusters(period_s=10, period_cv=1.0)
    times = process.arrivals(stream(0, "poisson"), HOURS)
    assert cv(times) == pytest.approx(1.0, abs=0.02)
    assert dispersion(times, 60, HOURS) == pytest.approx(1.0, abs=0.05)


def test_a_timer_ticks_at_its_period() -> None:
    times = Clusters(period_s=10).arrivals(stream(0, "timer"), 100.0)
    assert np.diff(times) == pytest.approx(10.0)


def test_clusters_of_poisson_parents_have_neyman_scotts_dispersion() -> None:
    """For windows much longer than the spread, the dispersion index is E[S²]/E[S]."""
    process = Clusters(period_s=100, period_cv=1.0, size=5, size_cv=0.8, spread_s=1)
    times = process.arrivals(stream(1, "ns"), HOURS * 5)
    assert dispersion(times, 1000, HOURS * 5) == pytest.approx(5 * (1 + 0.8**2), rel=0.1)


@given(
    mean=st.floats(0.2, 60),
    cv_=st.floats(0, 2.5),
    least=st.sampled_from([0, 1]),
    seed=st.integers(),
)
def test_counts_never_fall_below_the_least(mean: float, cv_: float, least: int, seed: int) -> None:
    drawn = draw_counts(stream(seed, "c"), max(mean, least), cv_, 50, least)
    assert (drawn >= least).all()


@pytest.mark.parametrize(("mean", "spread"), [(36, 0.0), (6, 0.2), (4, 0.6), (30, 1.5), (0.7, 1.3)])
def test_counts_have_their_mean_and_cv(mean: float, spread: float) -> None:
    least = 1 if mean > 1 else 0
    drawn = draw_counts(stream(0, "counts"), mean, spread, 40_000, least)
    assert drawn.mean() == pytest.approx(mean, rel=0.03)
    assert drawn.std() / drawn.mean() == pytest.approx(spread, abs=0.08)


def test_adding_a_function_changes_no_other() -> None:
    process = Clusters(period_s=60, period_cv=1, size=3, spread_s=30)
    few = [TraceFunction(id=name) for name in "ab"]
    more = [*few, TraceFunction(id="c")]
    processes = dict.fromkeys("abc", process)
    first = generate("w", processes, few, seed=5, duration_s=3600, source="t")
    second = generate("w", processes, more, seed=5, duration_s=3600, source="t")
    assert first.arrivals_s("b").tolist() == second.arrivals_s("b").tolist()
    assert first.arrivals_s("a").tolist() != first.arrivals_s("b").tolist()


def test_clusters_go_on_to_the_end_however_short_the_gaps_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Clusters, "_gaps", lambda self, _, count: np.full(count, 1e-3))
    times = Clusters(period_s=10, period_cv=30).arrivals(stream(0, "dense"), 60.0)
    assert times[-1] > 59
