"""Skew, ramp and cap change what they name, and nothing else of a workload."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from workloads import catalogue
from workloads.errors import WorkloadError
from workloads.trace import Workload


def loaded(**overrides: object) -> Workload:
    return catalogue.load("lora-zipf-100", seed=3, functions=10, **overrides)


def called(workload: Workload) -> list[str]:
    return [str(function) for function in workload.requests["function"].to_pylist()]


def test_a_skew_keeps_every_arrival_and_all_functions() -> None:
    plain = loaded()
    for skew in ("uniform", "zipf-1.2", "power-0.5", "hot-0.9", "distinct"):
        found = loaded(skew=skew)
        assert found.arrivals_s().tolist() == plain.arrivals_s().tolist(), skew
        assert [f.id for f in found.functions] == [f.id for f in plain.functions]
        assert called(found) == called(loaded(skew=skew)), "reproducible"
        assert called(found) != called(plain)
        assert found.provenance.transforms[-2].parameters["skew"] == skew


@pytest.mark.parametrize(
    ("skew", "first", "second"),
    [
        ("uniform", 0.1, 0.1),
        ("zipf-1", 1 / 2.929, 0.5 / 2.929),
        ("zipf", 1 / 2.929, 0.5 / 2.929),
        ("power-0.5", 0.1**0.5, 0.2**0.5 - 0.1**0.5),
        ("hot-0.9", 0.9, 0.1 / 9),
        ("hot", 1.0, 0.0),
    ],
)
def test_the_shares_are_those_of_the_law(skew: str, first: float, second: float) -> None:
    found = loaded(skew=skew)
    counts, n = Counter(called(found)), len(found)
    for id_, share in zip([f.id for f in found.functions], (first, second), strict=False):
        error = 4 * np.sqrt(share * (1 - share) / n)
        assert counts[id_] / n == pytest.approx(share, abs=error + 1e-9)


def test_distinct_gives_no_function_twice_before_all_have_been_called() -> None:
    found = called(loaded(skew="distinct"))
    for start in range(len(found) - 10):
        assert len(set(found[start : start + 10])) == 10


def test_the_classes_are_those_of_the_new_arrivals() -> None:
    bursty = catalogue.load("azure-bursty8", seed=0)
    mixed = catalogue.load("azure-bursty8", seed=0, skew="uniform")
    assert {f.burst_class for f in bursty.functions} == {"bursty"}
    assert {f.burst_class for f in mixed.functions} != {"bursty"}


@pytest.mark.parametrize("text", ["", "zip", "zipf-x", "hot-2", "hot-0", "uniform-1", "power--1"])
def test_what_is_no_skew_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(WorkloadError, match="write uniform, zipf-EXPONENT"):
        catalogue.load("steady", seed=0, functions=2, skew=text or "-")


@pytest.mark.parametrize("start", [0.0, 0.4, 1.6, 2.0])
def test_a_ramp_changes_the_rate_linearly_and_keeps_number_and_duration(start: float) -> None:
    plain, found = (
        catalogue.load("steady", seed=0, duration_s=14400, ramp=ramp) for ramp in (1.0, start)
    )
    assert (len(found), found.duration_ns) == (len(plain), plain.duration_ns)
    counts, _ = np.histogram(found.arrivals_s(), bins=4, range=(0, 14400))
    mids = np.array([1, 3, 5, 7]) / 8
    wanted = len(plain) / 4 * (start + 2 * (1 - start) * mids)
    np.testing.assert_allclose(counts, wanted, atol=4 * np.sqrt(len(plain) / 4))


def test_a_cap_keeps_the_first_requests_and_ends_where_the_next_would_come() -> None:
    plain = catalogue.load("steady", seed=0)
    found = catalogue.load("steady", seed=0, requests=5)
    assert found.arrivals_s().tolist() == plain.arrivals_s()[:5].tolist()
    assert found.duration_ns == plain.requests["arrival_ns"][5].as_py()
    assert catalogue.load("steady", seed=0, requests=10**6).sha256 == plain.sha256
