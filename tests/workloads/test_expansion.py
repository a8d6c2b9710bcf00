"""Each expansion rule keeps every count, and no two calls of a function have the same time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.errors import WorkloadError
from workloads.expansion import RULES, expand, seconds
from workloads.minutes import MinuteCounts
from workloads.statistics import dispersion
from workloads.trace import TraceFunction, Workload

MANY = st.lists(st.sampled_from([0, 0, 1, 2, 7, 300]), min_size=1, max_size=12)


def counted(*counts: list[int]) -> MinuteCounts:
    functions = tuple(TraceFunction(id=f"f{i}") for i in range(len(counts)))
    return MinuteCounts("m", functions, {f"f{i}": np.array(c) for i, c in enumerate(counts)})


@pytest.mark.parametrize("rule", list(RULES))
@settings(max_examples=40)
@given(first=MANY, second=MANY, seed=st.integers(0, 2**32))
def test_counts_are_kept_and_nothing_ties(
    rule: str, first: list[int], second: list[int], seed: int
) -> None:
    size = max(len(first), len(second))
    counts = [each + [0] * (size - len(each)) for each in (first, second)]
    workload = expand(counted(*counts), seed, rule)
    for index, wanted in enumerate(counts):
        mine = workload.requests["function"].to_numpy(zero_copy_only=False) == f"f{index}"
        times = workload.requests["arrival_ns"].to_numpy()[mine]
        assert np.bincount(times // 60_000_000_000, minlength=size).tolist() == wanted
        assert (np.diff(times) > 0).all()
    assert workload.minutes is not None
    assert workload.provenance.transforms[-1].name == rule


def test_calls_too_many_for_their_nanoseconds_still_do_not_tie() -> None:
    class Late:
        """A generator that always draws the last moment of the minute."""

        def uniform(self, size: int) -> np.ndarray:
            return np.full(size, np.nextafter(1.0, 0.0))

    from workloads.expansion import _without_ties, uniform

    counts = np.array([5, 0, 3])
    times = _without_ties(counts, uniform(Late(), counts))  # type: ignore[arg-type]
    assert (np.diff(times) > 0).all()
    assert np.bincount(times // 60_000_000_000).tolist() == [5, 0, 3]


@pytest.mark.parametrize("rule", ["uniform", "poisson"])
def test_within_a_minute_they_are_what_poisson_is(rule: str) -> None:
    counts = np.random.default_rng(0).poisson(30, 400)
    times = seconds(counts, rule, np.random.default_rng(1))
    assert dispersion(times, 1.0, 24_000) == pytest.approx(1.0, abs=0.06)


def test_equidistant_calls_are_equally_far_apart() -> None:
    times = seconds(np.array([4, 0, 2]), "equidistant", np.random.default_rng())
    assert times.tolist() == [0, 15, 30, 45, 120, 150]


def test_the_first_call_of_invitros_rule_is_at_the_start_of_its_minute() -> None:
    times = seconds(np.array([4, 0, 2]), "exponential-normalised", np.random.default_rng(0))
    assert times[0] == 0
    assert times[4] == 120


def test_a_function_more_changes_no_other() -> None:
    alone, both = (expand(counted(*c), 7) for c in ([[3, 4]], [[3, 4], [9, 9]]))
    assert alone.arrivals_s("f0").tolist() == both.arrivals_s("f0").tolist()


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(WorkloadError, match="equidistant"):
        expand(counted([1]), 0, "bernoulli")


def test_counts_outlive_the_file(tmp_path) -> None:
    workload = expand(counted([3, 0], [1, 9]), 0)
    workload.write(tmp_path / "w.parquet")
    again = Workload.read(tmp_path / "w.parquet")
    assert again.minutes is not None
    assert {f: c.tolist() for f, c in again.minutes.items()} == {"f0": [3, 0], "f1": [1, 9]}
    assert again.sha256 == workload.sha256
