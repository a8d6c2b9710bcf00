"""Runs of functions that share instances, in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from systems.interface import Deployment, Device, Function, Isolation, Limits, StartType
from systems.registry import system_class
from systems.serverless.options import Options
from systems.serverless.simulated.run import Outcome, simulate
from systems.simulation.arrival import Arrival, OpenLoad
from systems.simulation.profile import Profile, load_profile
from workloads.streams import stream

H100 = load_profile("h100")
LORA = system_class("serverless-lora")


def arrivals(load: Sequence[tuple[str, float]], tokens: int = 8) -> list[Arrival]:
    return [
        Arrival(i, round(at_s * 1e9), function, 128, tokens)
        for i, (function, at_s) in enumerate(load)
    ]


def zipf(functions: int, requests: int, per_second: float) -> list[tuple[str, float]]:
    """Draw Poisson arrivals of functions by Zipf's law with exponent 1."""
    draw = stream(7, "zipf", functions)
    at_s = np.cumsum(draw.exponential(1 / per_second, requests))
    weights = 1 / np.arange(1, functions + 1)
    whose = draw.choice(functions, requests, p=weights / weights.sum())
    return [(f"f{function}", float(at)) for function, at in zip(whose, at_s, strict=True)]


def run(
    load: Sequence[Arrival],
    *,
    functions: int = 2,
    devices: int = 1,
    isolation: Isolation = "backbone",
    tenants: int = 1,
    profile: Profile = H100,
    policies: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
) -> Outcome:
    """Run ``load`` on cards of one host with functions f0, f1, … of one backbone, assigned to
    tenants in turn. ``policies``: those that replace ServerlessLoRA's."""
    options = {"template_at_deployment": True, **(options or {})}
    deployment = Deployment(
        functions=tuple(
            Function(
                id=f"f{i}", backbone="llama2-7b", adapter=Path(f"f{i}"), tenant=f"t{i % tenants}"
            )
            for i in range(functions)
        ),
        backbones={"llama2-7b": Path("llama2-7b")},
        devices=tuple(Device(name=f"cuda:{n}", memory_bytes=76 << 30) for n in range(devices)),
        dtype="float16",
        isolation=isolation,
        limits=Limits(keep_alive_s=13, max_batch_size=32, max_context_tokens=512),
        options=options,
    )
    chosen = replace(LORA.policies(Options.model_validate(options)), **(policies or {}))
    return simulate(deployment, chosen, profile, OpenLoad(load))


def ttft_s(outcome: Outcome) -> float:
    """Return the mean TTFT."""
    calls = outcome.platform.calls.values()
    return float(np.mean([call.work.first_ns - call.received_ns for call in calls])) / 1e9


def tpot_s(outcome: Outcome) -> float:
    """Return the mean TPOT."""
    work = [call.work for call in outcome.platform.calls.values()]
    per = [(each.last_ns - each.first_ns) / (each.output_tokens - 1) for each in work]
    return float(np.mean(per)) / 1e9


def hot(outcome: Outcome) -> float:
    """Return the share of requests that found everything loaded, their adapter too."""
    types = [request.start_type for request in outcome.system_trace().requests]
    return types.count(StartType.HOT) / len(types)
