"""Starts beside instances at work, prompts in pieces, and drawn durations, in whole systems."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from systems.interface import Deployment, Device, Function, Limits
from systems.registry import system_class
from systems.serverless.options import Options
from systems.serverless.simulated.run import Outcome, _piece_tokens, simulate
from systems.simulation.arrival import Arrival, OpenLoad
from systems.simulation.profile import Profile, load_profile

H100 = load_profile("h100")


def run(
    *calls: tuple[float, str, int],
    system: str = "serverless-lora",
    profile: Profile = H100,
    prewarmed: int = 0,
) -> Outcome:
    """Run calls: time in s, function, output tokens."""
    options = {"template_at_deployment": True, "prewarmed": prewarmed}
    deployment = Deployment(
        functions=tuple(
            Function(id=f"f{i}", backbone="llama2-7b", adapter=Path(f"f{i}")) for i in range(4)
        ),
        backbones={"llama2-7b": Path("llama2-7b")},
        devices=(Device(name="cuda:0", memory_bytes=76 << 30),),
        dtype="float16",
        limits=Limits(keep_alive_s=60, max_context_tokens=2048),
        options=options,
    )
    arrivals = [Arrival(i, round(at * 1e9), f, 128, n) for i, (at, f, n) in enumerate(calls)]
    policies = system_class(system).policies(Options.model_validate(options))
    return simulate(deployment, policies, profile, OpenLoad(arrivals))


def took_s(outcome: Outcome, request: int, stage: str) -> float:
    spans = outcome.system_trace().requests[request].spans
    return sum(s.end_ns - s.start_ns for s in spans if s.stage.value == stage) / 1e9


@pytest.mark.parametrize("others", [0, 1, 2])
def test_building_an_engine_waits_for_the_turns_of_others(others: int) -> None:
    """results/reference/start-beside-h100.json: (1 + 1.8 M) times as long beside M."""
    calls = [(20.0 + i / 1e3, f"f{i}", 1800) for i in range(others)]
    warm = [(5.0 * i, f"f{i}", 1) for i in range(others)]
    outcome = run(*warm, *calls, (22.0, "f3", 1))
    kernels_s = took_s(outcome, 2 * others, "kernels")
    assert kernels_s == pytest.approx(H100.kernels_s.value * (1 + 1.8 * others), rel=0.02)


def with_spread(**spreads: tuple[float, ...]) -> Profile:
    numbers = {
        name: getattr(H100, name).model_copy(update={"spread": spread})
        for name, spread in spreads.items()
    }
    return H100.model_copy(update=numbers)


def forks_s(system: str, profile: Profile, *calls: tuple[float, str, int]) -> dict[str, float]:
    """Return how long the process of each function's first call took to begin."""
    outcome = run(*calls, system=system, profile=profile)
    traces = outcome.system_trace().requests
    return {trace.function_id: took_s(outcome, i, "warming") for i, trace in enumerate(traces)}


def test_two_systems_draw_the_same_for_the_same() -> None:
    """Both begin a process for each function, and one begins others in between."""
    spread = (0.5, 1.0, 1.5)
    drawn = with_spread(process_s=spread, fork_s=spread).model_copy(update={"draw_key": "92-0"})
    few = forks_s("serverless-llm", drawn, (0, "f0", 1), (60, "f2", 1))
    many = forks_s("instainfer", drawn, (0, "f0", 1), (30, "f1", 1), (60, "f2", 1))
    assert few == {name: many[name] for name in few}
    assert few["f0"] != few["f2"] != drawn.process_s.value
    fixed = forks_s("serverless-llm", with_spread(process_s=spread), (0, "f0", 1), (60, "f2", 1))
    assert fixed == pytest.approx(dict.fromkeys(("f0", "f2"), drawn.process_s.value), abs=1e-6)


@pytest.mark.parametrize(("chosen", "expected"), [("auto", 512), ("whole", None), (64, 64)])
def test_prompts_are_computed_in_the_pieces_of_the_live_engine(
    chosen: Any, expected: int | None
) -> None:
    options = Options(prompt_piece_tokens=chosen)
    assert _piece_tokens(options, H100) == expected
    assert _piece_tokens(Options(), load_profile("cpu-small")) == Options().piece_tokens("cpu")
    assert _piece_tokens(Options(), H100) == Options().piece_tokens("cuda")


def test_an_adapter_on_its_way_into_a_prewarmed_process_waits_as_the_profile_says() -> None:
    beside, spare = H100.takeover_beside, H100.spare_s
    assert beside is not None
    assert spare is not None
    alone = run((0, "f0", 1), (20, "f3", 1), prewarmed=1)
    outcome = run((0, "f0", 1), (20, "f0", 1800), (22, "f3", 1), prewarmed=1)
    assert took_s(alone, 1, "kernels") == pytest.approx(spare.value, rel=0.02)
    kernels_s = took_s(outcome, 2, "kernels")
    assert kernels_s == pytest.approx(spare.value * (1 + beside.waits.value), rel=0.02)
