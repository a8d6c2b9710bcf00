"""Intervals have their nominal coverage; too few samples give no interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stats import (
    QUANTILES,
    Series,
    enough,
    mean_interval,
    mean_ratio_interval,
    quantile_interval,
    quantile_ratio_interval,
    share_interval,
    student_interval,
    student_intervals,
    student_ratio_interval,
    summarise,
)
from workloads.streams import stream

Array = np.ndarray[Any, np.dtype[np.float64]]
N, TRIALS = 3000, 500
Z95 = 1.6448536269514722


def test_a_percentile_needs_a_sample_beyond_it() -> None:
    assert enough(100, 0.99)
    assert not enough(99, 0.99)
    document = summarise(np.arange(20.0))
    assert document["p95"] is not None
    assert document["p99"] is None
    assert document["n"] == 20


def test_its_interval_needs_ten_effective_samples_beyond_it() -> None:
    independent = stream(0, "independent").standard_normal(250)
    assert summarise(independent)["ci95"]["p95"] is not None
    assert summarise(independent[:199])["ci95"]["p95"] is None
    assert summarise(independent)["ci95"]["p99"] is None
    bursts = independent.repeat(5)[:250]
    assert summarise(bursts)["p95"] is not None
    assert summarise(bursts)["ci95"]["p95"] is None, "50 bursts are not 250 samples"


def test_nothing_is_made_of_nothing() -> None:
    document = summarise(np.array([np.nan, np.nan]))
    assert document["n"] == 0
    assert document["mean"] is None
    assert set(document["ci95"].values()) == {None}
    assert quantile_interval(Series.of(np.zeros(0)), 0.5) is None


@pytest.mark.parametrize("size", [1, 20])
def test_gaps_of_one_request_say_nothing_about_others(size: int) -> None:
    gaps = stream(0, "gaps").exponential(size=300)
    one = Series(gaps, np.zeros(300, dtype=np.int64), size)
    document = summarise(one)
    assert document["mean"] == pytest.approx(gaps.mean())
    assert set(document["ci95"].values()) == {None}
    assert mean_ratio_interval(one, one, paired=True) is None


def test_missing_values_are_left_out_and_not_zero() -> None:
    assert summarise(np.array([1.0, np.nan, 3.0]))["mean"] == 2.0


def test_of_nine_values_or_of_one_repeated_there_is_no_interval() -> None:
    assert mean_interval(Series.of(np.arange(9.0))) is None
    assert mean_interval(Series.of(np.arange(10.0))) is not None
    assert mean_interval(Series.of(np.full(100, 7.0))) is None


@given(st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=1, max_size=200), st.data())
def test_blocks_lose_no_value(values: list[float], data: st.DataObject) -> None:
    series = Series.of(np.array(values))
    if not len(series):
        return
    halves = series.halves(series.values, data.draw(st.integers(1, series.size)))
    assert halves[:, 1].sum() == len(series)
    assert halves[:, 0].sum() == pytest.approx(series.values.sum(), abs=1e-6)


@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_a_change_of_unit_changes_the_unit_only(seed: int, unit: float) -> None:
    values = stream(seed, "unit").lognormal(size=300)
    ours, theirs = summarise(values), summarise(values * unit)
    for part in ("mean", "p50", "p90"):
        assert theirs[part] == pytest.approx(ours[part] * unit)
        assert theirs["ci95"][part] == pytest.approx([end * unit for end in ours["ci95"][part]])


def correlated(seed: int, strength: float, count: int = N, trials: int = 1) -> Array:
    """Draw an autoregressive process of variance 1; shape [trials, count]."""
    shocks = stream(seed, "correlated", str(strength)).standard_normal((count, trials))
    series = np.empty((count, trials))
    level = shocks[0]
    for index, shock in enumerate(shocks):
        level = strength * level + math.sqrt(1 - strength**2) * shock if index else shock
        series[index] = level
    return series.T


def bursts(seed: int, trials: int) -> Array:
    """Draw delays [trials, N] of requests in bursts of six on average: an exponential delay per
    burst (mean 1) plus one per request (mean 1/2)."""
    random = stream(seed, "bursts")
    begins = random.random((trials, N)) < 1 / 6
    which = np.cumsum(begins, axis=1)
    levels = random.exponential(1.0, (trials, N + 1))
    shared = np.take_along_axis(levels, which, axis=1)
    return np.asarray(shared + random.exponential(0.5, (trials, N)))


def test_effective_n_is_n_over_the_integrated_autocorrelation_time() -> None:
    for strength in (0.0, 0.5, 0.8):
        found = [
            Series.of(values).dependence.effective_n
            for values in correlated(1, strength, 4000, trials=40)
        ]
        expected = 4000 * (1 - strength) / (1 + strength)
        assert np.median(found) == pytest.approx(expected, rel=0.15)


# True mean, p50 and p95 of each process. For bursts, P(sum ≤ x) = (1 − e^−x)².
PROCESSES: dict[str, tuple[Callable[[], Array], tuple[float, float, float]]] = {
    "independent": (
        lambda: stream(2, "exponential").exponential(1.0, (TRIALS, N)),
        (1.0, math.log(2), math.log(20)),
    ),
    "autoregressive": (lambda: correlated(3, 0.7, trials=TRIALS), (0.0, 0.0, Z95)),
    "skewed": (
        lambda: np.exp(0.6 * correlated(4, 0.7, trials=TRIALS)),
        (math.exp(0.18), 1.0, math.exp(0.6 * Z95)),
    ),
    "bursts": (
        lambda: bursts(5, TRIALS),
        (1.5, -math.log(1 - math.sqrt(0.5)), -math.log(1 - math.sqrt(0.95))),
    ),
}


@pytest.mark.parametrize("process", PROCESSES)
def test_nominal_95_percent_intervals_cover_93_to_97_percent(process: str) -> None:
    """500 seeded series of 3,000 requests each, for the mean, the median and p95."""
    draw, truths = PROCESSES[process]
    hits = np.zeros((TRIALS, 3))
    for trial, values in enumerate(draw()):
        series = Series.of(values)
        intervals = (
            mean_interval(series),
            quantile_interval(series, 0.5),
            quantile_interval(series, 0.95),
        )
        for part, (interval, truth) in enumerate(zip(intervals, truths, strict=True)):
            hits[trial, part] = interval[0] <= truth <= interval[1] if interval else np.nan
    assert (np.isnan(hits).mean(axis=0) < [0.01, 0.01, 0.05]).all()
    for covered in np.nanmean(hits, axis=0):
        assert 0.93 <= covered <= 0.97


def cold_now_and_then(trials: int, count: int) -> Array:
    """Draw latencies [trials, count] in seconds: bursts of six on average; one burst in 25 waits
    for 6 s instead of 0.2 s."""
    random = stream(9, "cold now and then")
    which = np.cumsum(random.random((trials, count)) < 1 / 6, axis=1)
    cold = random.random((trials, count + 1)) < 0.04
    level = np.where(cold, 6.0, 0.2) * random.lognormal(0.0, 0.3, cold.shape)
    return np.asarray(np.take_along_axis(level, which, axis=1))


def test_the_interval_of_a_latency_ends_above_zero() -> None:
    """For 124 requests with a few cold bursts, the lower end was once −4,334 ms."""
    found = [mean_interval(Series.of(values)) for values in cold_now_and_then(100, 124)]
    assert all(low > 0 and low < high for low, high in filter(None, found))
    assert sum(each is not None for each in found) > 90
    below = mean_interval(Series.of(stream(10, "differences").normal(0.0, 1.0, 100))) or (0, 0)
    assert below[0] < 0, "values that may be negative get the plain interval"


def test_the_interval_of_a_total_over_repeats_ends_above_zero_and_covers() -> None:
    """A plain Student's t interval covers 90 % here, and its lower end is negative in up to 60 % of
    cases."""
    truth = math.exp(0.6**2 / 2)
    for repeats in (3, 4, 5):
        draws = stream(11, "totals", repeats).lognormal(0.0, 0.6, (2000, repeats))
        found = [student_interval(values) for values in draws.tolist()]
        assert all(each is not None and each[0] > 0 for each in found)
        covered = np.mean([low <= truth <= high for low, high in filter(None, found)])
        assert 0.92 < covered < 0.97


def test_a_total_of_two_repeats_or_of_nothing_has_no_interval() -> None:
    assert student_interval([1.0, 2.0]) is None
    assert student_interval([0.0, 0.0, 0.0]) is None
    assert student_interval([2.0, 2.0, 2.0]) == (2.0, 2.0)


def test_intervals_of_rows_are_those_of_each() -> None:
    rows = np.vstack([np.zeros(4), stream(12, "rows").lognormal(size=(5, 4))])
    low, high = student_intervals(rows)
    assert math.isnan(low[0])
    assert math.isnan(high[0])
    for row, ends in zip(rows[1:], zip(low[1:], high[1:], strict=True), strict=True):
        assert student_interval(row.tolist()) == pytest.approx(ends)
    assert np.isnan(student_intervals(rows[:, :2])).all()


def test_a_share_that_was_never_missed_is_not_certain() -> None:
    low, high = share_interval(Series.of(np.ones(100))) or (0, 0)
    assert 0.95 < low < 1.0
    assert high == 1.0


def test_shares_of_bursts_are_less_certain_than_of_independent_requests() -> None:
    outcome = (stream(6, "outcome").random(100) < 0.5).astype(float)
    alone = share_interval(Series.of(outcome)) or (0, 0)
    together = share_interval(Series.of(outcome.repeat(10)[:1000])) or (0, 0)
    assert together[1] - together[0] > 0.8 * (alone[1] - alone[0])


def twice_as_slow(trials: int) -> tuple[Array, Array]:
    """Draw the same bursts under two systems; the second is twice as slow and has extra noise."""
    ours = np.exp(0.6 * correlated(7, 0.7, trials=trials))
    noise = stream(8, "noise").normal(0.0, 0.3, ours.shape)
    return ours, 2 * ours * np.exp(noise)


def test_intervals_of_paired_ratios_cover_the_ratio() -> None:
    """250 seeded pairs of series of 3,000 requests, for means, medians and p95."""
    spread = math.sqrt(0.6**2 + 0.3**2)
    truths = (math.exp(-(0.3**2) / 2) / 2, 0.5, math.exp(Z95 * (0.6 - spread)) / 2)
    hits = np.zeros(3)
    pairs = list(zip(*twice_as_slow(250), strict=True))
    for pair in pairs:
        ours, theirs = (Series.of(values) for values in pair)
        intervals = (
            mean_ratio_interval(ours, theirs, paired=True),
            quantile_ratio_interval(ours, theirs, 0.5, paired=True),
            quantile_ratio_interval(ours, theirs, 0.95, paired=True),
        )
        for part, (interval, truth) in enumerate(zip(intervals, truths, strict=True)):
            assert interval is not None
            hits[part] += interval[0] <= truth <= interval[1]
    assert ((hits / len(pairs) >= 0.92) & (hits / len(pairs) <= 0.985)).all()


def test_the_same_schedule_makes_ratios_more_certain() -> None:
    ours, theirs = (Series.of(values[0]) for values in twice_as_slow(1))
    for interval_of in (
        mean_ratio_interval,
        lambda a, b, *, paired: quantile_ratio_interval(a, b, QUANTILES["p50"], paired=paired),
    ):
        paired = interval_of(ours, theirs, paired=True)
        apart = interval_of(ours, theirs, paired=False)
        assert paired is not None
        assert apart is not None
        assert paired[1] - paired[0] < 0.6 * (apart[1] - apart[0])


def test_a_ratio_to_nothing_is_none() -> None:
    some, none = Series.of(np.arange(1.0, 50)), Series.of(np.zeros(49))
    assert mean_ratio_interval(some, none, paired=True) is None
    assert quantile_ratio_interval(some, none, 0.5, paired=True) is None


def test_a_ratio_over_segments_is_paired_and_covers_what_it_claims_to() -> None:
    """Segments differ more than the systems within one; pairing cancels that difference."""
    draw = stream(0, "segments")
    covered = 0
    for _ in range(TRIALS):
        load = draw.lognormal(0.0, 0.5, 8)
        ours, theirs = (load * draw.normal(mean, 0.1, 8) for mean in (3.0, 2.0))
        found = student_ratio_interval(ours.tolist(), theirs.tolist())
        assert found is not None
        assert found[1] / found[0] < 1.5, "unpaired its ends would be a factor of two apart"
        covered += found[0] <= 1.5 <= found[1]
    assert 0.90 < covered / TRIALS < 0.99


def test_a_ratio_of_two_segments_or_to_nothing_has_no_interval() -> None:
    assert student_ratio_interval([1.0, 2.0], [1.0, 2.0]) is None
    assert student_ratio_interval([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]) is None
    assert student_ratio_interval([1.0, 2.0, 3.0], [1.0, 2.0]) is None
