"""Prewarmed processes in virtual time: the time they save, the memory they hold, when they end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from systems.interface import Deployment, Device, Function, Limits
from systems.registry import system_class
from systems.serverless.options import Options
from systems.serverless.simulated.run import Outcome, simulate
from systems.simulation.arrival import Arrival, OpenLoad
from systems.simulation.profile import Profile, ProfileError, load_profile

LORA = system_class("serverless-lora")


def run(
    prewarmed: int,
    at_s: list[float],
    profile: Profile | None = None,
    *,
    called: str = "",
    **more: Any,
) -> Outcome:
    """Run a first call of another function at each time, or a call of the function ``called``; the
    first one also loads the backbone, unless it is there from deployment on. ``more``: options."""
    options = {"prewarmed": prewarmed, "template_at_deployment": True, **more}
    deployment = Deployment(
        functions=tuple(
            Function(id=f"f{i}", backbone="llama2-7b", adapter=Path(f"f{i}"))
            for i in range(len(at_s))
        ),
        backbones={"llama2-7b": Path("llama2-7b")},
        devices=(Device(name="cuda:0", memory_bytes=76 << 30),),
        dtype="float16",
        limits=Limits(keep_alive_s=13, max_context_tokens=512),
        options=options,
    )
    arrivals = [Arrival(i, round(s * 1e9), called or f"f{i}", 128, 8) for i, s in enumerate(at_s)]
    policies = LORA.policies(Options.model_validate(options))
    return simulate(deployment, policies, profile or load_profile("h100"), OpenLoad(arrivals))


def ttft_s(outcome: Outcome, request: int) -> float:
    call = outcome.platform.calls[request]
    return (call.work.first_ns - call.received_ns) / 1e9


def test_a_spare_saves_a_first_call_what_starting_takes() -> None:
    number = load_profile("h100")
    with_one, without = run(1, [0, 5]), run(0, [0, 5])
    assert number.spare_s is not None
    kept = number.fork_s.value + number.map_s.value + number.kernels_s.value
    kept += number.first_batch_s.value - number.spare_s.value
    saved = ttft_s(without, 1) - ttft_s(with_one, 1)
    assert saved == pytest.approx(kept, rel=0.05)
    assert ttft_s(with_one, 0) == pytest.approx(ttft_s(without, 0), rel=0.05), "none is there yet"
    cold = [request.start_type for request in with_one.system_trace().requests]
    assert [each and each.value for each in cold] == ["cold", "cold"]


def test_backbones_at_deployment_make_the_first_call_like_a_later_one() -> None:
    early, late = run(1, [0, 5], backbones_at_deployment=True), run(1, [0, 5])
    assert ttft_s(early, 0) == pytest.approx(ttft_s(late, 1), rel=0.05)
    assert ttft_s(late, 0) > 5 * ttft_s(early, 0)


def test_the_controller_knows_what_forks_and_takeovers_take() -> None:
    profile = load_profile("h100")
    outcome = run(2, [0, 5], backbones_at_deployment=True)
    learnt = outcome.platform.controller.state.estimates("f1")
    fork_s = profile.fork_s.value + profile.map_s.value + profile.kernels_s.value
    assert learnt.fork_ns / 1e9 == pytest.approx(fork_s, rel=0.15)
    assert profile.spare_s is not None
    assert profile.remap_s is not None
    takes_s = profile.spare_s.value + profile.remap_s.value
    assert learnt.takeover_ns / 1e9 == pytest.approx(takes_s, rel=0.2)


def test_a_process_that_slept_maps_the_backbone_again_without_a_context_of_its_own() -> None:
    h100 = load_profile("h100")
    again, first = (
        run(0, [0, 20], profile, called="f0", backbones_at_deployment=True, rate_window_s=5)
        for profile in (h100, h100.model_copy(update={"remap_s": None}))
    )
    assert h100.remap_s is not None
    for outcome, maps in ((again, h100.remap_s), (first, h100.map_s)):
        spans = outcome.system_trace().requests[1].spans
        took_ns = sum(s.end_ns - s.start_ns for s in spans if s.stage.value == "backbone")
        assert took_ns / 1e9 == pytest.approx(maps.value, rel=0.05)


def test_an_idle_instance_keeps_a_backbone_that_was_loaded_at_deployment() -> None:
    """Its loading delay, by which the knapsack weighs it, was seen by no instance."""
    outcome = run(0, [0, 20], called="f0", backbones_at_deployment=True)
    stages = {span.stage.value for span in outcome.system_trace().requests[1].spans}
    assert "kernels" in stages, "it is past its keep-alive"
    assert "backbone" not in stages


def test_a_ready_one_takes_over_an_instance_that_wakes() -> None:
    number = load_profile("h100")
    asleep = [0, 5, 20, 40]  # the second call is hot; the keep-alive is 13 s
    woken, taken_over = run(0, asleep, called="f0"), run(1, asleep, called="f0")
    assert number.spare_s is not None
    assert number.graphs is not None
    engine_s = number.parked_batch_s.value + number.graphs.first_s.value
    for call in (2, 3):
        woken_s = ttft_s(woken, call) - ttft_s(woken, 1)
        assert woken_s == pytest.approx(engine_s, rel=0.05), "another engine: no shape is ready"
        request = taken_over.system_trace().requests[call]
        took_s = {span.stage.value: (span.end_ns - span.start_ns) / 1e9 for span in request.spans}
        assert took_s["kernels"] == pytest.approx(number.spare_s.value, rel=0.05)
        assert took_s["adapter"] > 0
        assert ttft_s(taken_over, call) - ttft_s(taken_over, 1) == pytest.approx(
            took_s["kernels"] + took_s["adapter"], rel=0.05
        )
        assert request.start_type is not None
        assert request.start_type.value == "warm"


def test_one_that_is_not_ready_is_taken_and_what_it_owes_is_waited_for() -> None:
    alone = run(0, [0])
    there_s = ttft_s(alone, 0)
    early = run(1, [0, there_s, there_s + 0.05])
    late = run(1, [0, there_s + 10, there_s + 10.05])
    assert ttft_s(late, 1) < ttft_s(late, 2) < ttft_s(alone, 0)
    assert ttft_s(early, 2) > ttft_s(late, 1)
    stages = {span.stage.value for span in early.system_trace().requests[2].spans}
    assert "kernels" in stages


def test_their_memory_is_held_with_the_templates() -> None:
    def held(prewarmed: int) -> int:
        steps = run(prewarmed, [0]).platform.kept.memory_steps
        on_device = [step for step in steps if step.device == "cuda:0"]
        return max(step.bytes for step in on_device if step.owner.value == "context")

    assert held(2) > held(0)


def test_a_profile_that_does_not_know_them_says_so() -> None:
    with pytest.raises(ProfileError, match="l40s has no spare_s"):
        run(1, [0], load_profile("l40s"))
