"""Workloads composed of workloads, and populations made from shares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from workloads import catalogue, compose
from workloads.errors import WorkloadError
from workloads.lengths import Percentiles, with_lengths_of
from workloads.popularity import LAWS, Traced, popularity
from workloads.prompts import Prefixes, prompt_ids, prompts
from workloads.synthesis import Population, populate
from workloads.trace import Provenance, TraceFunction, from_arrivals

BURSTY = catalogue.load("azure-bursty8", seed=1, duration_s=7200)


def test_thinning_keeps_the_asked_part_and_finds_the_classes_again() -> None:
    thinned = compose.thin(BURSTY, 0.2, seed=0)
    assert len(thinned) / len(BURSTY) == pytest.approx(0.2, abs=0.04)
    for function in thinned.functions:
        assert set(thinned.arrivals_s(function.id)) <= set(BURSTY.arrivals_s(function.id))
    assert [f.burst_class for f in thinned.functions] != [f.burst_class for f in BURSTY.functions]
    assert thinned.provenance.transforms[-1].parameters == {"keep": 0.2, "seed": 0}


def test_compressing_keeps_the_classes() -> None:
    fast = BURSTY.compress(60)
    assert compose.relabelled(fast).functions == compose.relabelled(BURSTY).functions


def test_merged_workloads_have_all_requests_in_order() -> None:
    other = compose.renamed(BURSTY.window(0, 600), {f"f{i}": f"g{i}" for i in range(8)})
    both = compose.merge("both", [BURSTY, other])
    assert len(both) == len(BURSTY) + len(other)
    assert both.arrivals_s("g0").tolist() == BURSTY.window(0, 600).arrivals_s("f0").tolist()
    assert both.duration_ns == BURSTY.duration_ns
    assert both.provenance.kind == "composed"
    with pytest.raises(WorkloadError, match="more than one"):
        compose.merge("twice", [BURSTY, BURSTY])


def test_split_and_tile_undo_each_other() -> None:
    halves = compose.split(BURSTY, 2)
    assert sum(len(half) for half in halves) == len(BURSTY)
    tiled = compose.tile(halves[0], 3)
    assert len(tiled) == 3 * len(halves[0])
    assert tiled.window(3600, 3600).arrivals_s().tolist() == halves[0].arrivals_s().tolist()


@pytest.mark.parametrize("parts", [3, 7, 13])
def test_a_request_at_a_border_is_in_one_part(parts: int) -> None:
    """The borders lie between nanoseconds, and each request at or beside one is kept once."""
    duration_ns = 46 * 10**9
    borders = [round(part * duration_ns / parts) for part in range(1, parts)]
    times = np.array([border + beside for border in borders for beside in (-1, 0, 1)])
    about, source = (TraceFunction(id="a"),), Provenance(kind="synthetic", source="test")
    whole = from_arrivals("w", about, {"a": times}, source, duration_ns)
    found = compose.split(whole, parts)
    assert sum(len(each) for each in found) == len(whole)
    assert sum(each.duration_ns for each in found) == duration_ns


def test_lengths_of_another_keep_its_pairs() -> None:
    source = catalogue.load("llm-code", seed=3, duration_s=300)
    composed = with_lengths_of(BURSTY, source, seed=0)
    columns = ("prompt_tokens", "output_tokens")
    known = set(zip(*(source.requests[c].to_pylist() for c in columns), strict=True))
    assert set(zip(*(composed.requests[c].to_pylist() for c in columns), strict=True)) <= known
    assert composed.arrivals_s().tolist() == BURSTY.arrivals_s().tolist()
    assert composed.provenance.kind == "composed"


def test_percentiles_are_drawn_as_they_were_found() -> None:
    tokens = np.random.default_rng(0).geometric(0.01, 50_000)
    model = Percentiles.of(tokens, "test")
    drawn = model.draw(np.random.default_rng(1), 50_000)
    percents = (10, 25, 50, 75, 90)
    wanted = np.percentile(tokens, percents)
    assert np.percentile(drawn, percents) == pytest.approx(wanted, rel=0.05)
    with pytest.raises(ValidationError, match="do not decrease"):
        Percentiles(percent=(0, 50, 100), tokens=(1, 9, 3))


def test_drawn_lengths_have_the_mean_of_those_that_were_found() -> None:
    """A few long answers are much of the load: the last percent is not spread evenly."""
    tokens = np.rint(10 * (1 + np.random.default_rng(0).pareto(1.8, 20_000)))
    drawn = Percentiles.of(tokens, "test").draw(np.random.default_rng(2), 200_000)
    assert drawn.mean() == pytest.approx(tokens.mean(), rel=0.05)


@pytest.mark.parametrize("kind", ["uniform", "zipf", "power"])
@given(functions=st.integers(1, 400), skew=st.floats(0.2, 2))
@settings(max_examples=30)
def test_shares_sum_to_one_and_never_rise(kind: str, functions: int, skew: float) -> None:
    skews = {"zipf": {"exponent": skew}, "power": {"alpha": skew}}
    shares = popularity({"kind": kind, **skews.get(kind, {})}).shares(functions)
    assert len(shares) == functions
    assert shares.sum() == pytest.approx(1)
    assert (np.diff(shares) <= 1e-12).all()


def test_s_loras_power_law_is_the_one_its_generator_draws() -> None:
    drawn = (np.random.default_rng(0).power(0.3, 400_000) * 20).astype(int)
    found = np.sort(np.bincount(drawn, minlength=20))[::-1] / len(drawn)
    assert popularity({"kind": "power", "alpha": 0.3}).shares(20) == pytest.approx(found, abs=0.003)


def test_traced_shares_are_those_counted() -> None:
    shares = Traced.of(BURSTY).shares(8)
    counts = sorted((len(BURSTY.arrivals_s(f.id)) for f in BURSTY.functions), reverse=True)
    assert shares * len(BURSTY) == pytest.approx(counts)
    with pytest.raises(WorkloadError, match="not 9 weights"):
        Traced.of(BURSTY).shares(9)
    assert set(LAWS) == {"uniform", "zipf", "hot", "power", "traced"}


def shape(**more: object) -> Population:
    return Population.model_validate(
        {
            "functions": 20,
            "rate_rps": 2.0,
            "popularity": {"kind": "zipf", "exponent": 1.0},
            "process": {"kind": "gamma", "cv": 2.0},
            **more,
        }
    )


def test_a_population_has_the_rate_and_the_shares() -> None:
    workload = populate("p", shape(), seed=0, duration_s=20_000, source="test")
    assert len(workload) / 20_000 == pytest.approx(2.0, rel=0.05)
    shares = popularity({"kind": "zipf"}).shares(20)
    assert len(workload.arrivals_s("f0")) / len(workload) == pytest.approx(shares[0], rel=0.1)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"functions": 2**31}, "less than or equal to 1000000"),
        (
            {"rate_rps": float(2**31)},
            "requests; a workload has at most 100,000,000",
        ),
    ],
)
def test_what_no_memory_can_hold_is_refused_in_a_line(more: dict[str, object], words: str) -> None:
    with pytest.raises((ValidationError, WorkloadError), match=words):
        populate("p", shape(**more), seed=0, duration_s=20_000, source="test")


def test_churn_replaces_functions_but_not_arrivals() -> None:
    churn = {"every_s": 1000.0, "fraction": 0.3}
    still, moving = (
        populate("p", shape(**more), seed=0, duration_s=20_000, source="test")
        for more in ({}, {"churn": churn})
    )
    assert moving.arrivals_s().tolist() == still.arrivals_s().tolist()
    assert len(moving.functions) == pytest.approx(20 + 20 * 19 * 0.3, rel=0.25)
    for function in ("f0", "f0-1"):
        times = moving.arrivals_s(function)
        assert len(times)
    assert moving.arrivals_s("f0")[-1] < moving.arrivals_s("f0-1")[0]


def test_equal_hashes_give_equal_beginnings() -> None:
    prefixes = Prefixes([[1, 2], [1, 3], None], block_tokens=4)
    first, second, none = (prefixes.ids(0, row, 7, 1000) for row in range(3))
    assert first[:4].tolist() == second[:4].tolist()
    assert first[4:].tolist() != second[4:].tolist()
    assert (len(first), len(none)) == (7, 0)


def test_prompts_without_hashes_are_the_requests_own() -> None:
    few = BURSTY.window(0, 900)
    for request, made in enumerate(prompts(few, 5, 1000)):
        length = few.requests["prompt_tokens"][request].as_py()
        assert made.tolist() == prompt_ids(5, request, length, 1000).tolist()


@pytest.mark.parametrize(
    ("name", "prompt", "output"), [("sharegpt-like", 161.3, 338.0), ("gsm8k-like", 66.25, 66.25)]
)
def test_named_lengths_have_the_published_means(name: str, prompt: float, output: float) -> None:
    workload = catalogue.load("lora-zipf-1000", seed=0, lengths=name)
    found = [workload.requests[c].to_numpy().mean() for c in ("prompt_tokens", "output_tokens")]
    assert found == pytest.approx([prompt, output], rel=0.05)
    with pytest.raises(WorkloadError, match="sharegpt-like"):
        catalogue.load("steady", seed=0, lengths="novels")
