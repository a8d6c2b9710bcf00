"""The paper's time-breakdown figure, with the profile of published numbers.

The profile takes its durations from the same figure. The tests check that the core's decisions
place each duration where the figure shows it.
"""

from __future__ import annotations

import pytest

from workloads import catalogue

from .test_simulation import run, stages

OPTIONS = {"template": "containers", "overlap_loading": False, "rate_window_s": 20}

# warming, artifacts, model, inference: ServerlessLoRA's rows of the figure, ±0.05 s.
PUBLISHED = [
    (0.97, 2.98, 4.81, 1.09),
    (0, 3.05, 0.65, 1.11),
    (0, 0, 0, 0.22),
    (0, 2.73, 0.58, 1.16),
    (0, 0, 0.63, 1.14),
    (0, 0, 0, 0.19),
    (0, 0, 0, 0.56),
    (0, 0, 0, 0.17),
]


def bars(system: str, options: dict[str, object]) -> list[tuple[float, ...]]:
    arrivals = catalogue.load("time-breakdown", seed=0).requests
    load = [
        (function, at / 1e9)
        for function, at in zip(
            arrivals["function"].to_pylist(), arrivals["arrival_ns"].to_pylist(), strict=True
        )
    ]
    found = [stages(r) for r in run(system, load, options=options).system_trace().requests]
    groups = (("warming",), ("libraries", "kernels"), ("backbone", "adapter"), ("prefill",))
    return [tuple(sum(one.get(s, 0.0) for s in group) for group in groups) for one in found]


def test_each_invocation_has_the_stages_that_the_figure_shows() -> None:
    ours = bars("serverless-lora", OPTIONS)
    assert [tuple(x > 0 for x in row) for row in ours] == [
        tuple(x > 0 for x in row) for row in PUBLISHED
    ]


def test_durations_are_within_a_fifth_or_the_reading_error_of_the_figure() -> None:
    for mine, theirs in zip(bars("serverless-lora", OPTIONS), PUBLISHED, strict=True):
        for found, published in zip(mine, theirs, strict=True):
            assert found == pytest.approx(published, rel=0.2, abs=0.05)


def test_serverless_llm_too_has_the_stages_of_the_figure() -> None:
    cold, hot = (True, True, True, True), (False, False, False, True)
    ours = [tuple(x > 0 for x in row) for row in bars("serverless-llm", {})]
    assert ours == [cold, cold, hot, cold, cold, hot, cold, hot]


def test_instainfer_takes_over_idle_containers_as_in_the_figure() -> None:
    taken, cold, hot = (False, True, True, True), (True,) * 4, (False, False, False, True)
    ours = [tuple(x > 0 for x in row) for row in bars("instainfer", {"takeover": "container"})]
    assert ours == [cold, taken, hot, taken, taken, cold, cold, hot]


def test_a_container_may_keep_its_libraries() -> None:
    without, kept = (bars("instainfer", {"takeover": each}) for each in ("container", "libraries"))
    libraries_s = 2.7
    for call in (1, 3, 4):
        assert without[call][0] == kept[call][0] == 0, "no warming"
        assert without[call][1] - kept[call][1] > libraries_s
        assert kept[call][2] > 1, "its model is loaded"
