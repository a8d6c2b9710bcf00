"""A deployment of which no instance could start is refused, and only such a deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from systems.errors import DeploymentError
from systems.interface import Deployment, Device, Function, Isolation, Limits
from systems.registry import system_class
from systems.simulation.arrival import Arrival, OpenLoad
from systems.simulation.profile import load_profile

RANK = 16


def deployed(
    memory: tuple[int, ...],
    isolation: Isolation = "function",
    options: dict[str, Any] | None = None,
    kind: str = "cuda",
) -> Deployment:
    """Return two functions on devices of so many bytes: of a 7B model on cards, else of a small
    one."""
    backbone = "llama2-7b" if kind == "cuda" else "smollm2-135m"
    return Deployment(
        functions=tuple(
            Function(id=name, backbone=backbone, adapter=Path(name)) for name in ("f0", "f1")
        ),
        backbones={backbone: Path(backbone)},
        devices=tuple(
            Device(name=f"{kind}:{n}", memory_bytes=size) for n, size in enumerate(memory)
        ),
        dtype="float16",
        isolation=isolation,
        limits=Limits(max_context_tokens=1024, request_timeout_s=300),
        options=options or {},
    )


def refused(name: str, profile: str, deployment: Deployment) -> bool:
    cls: Any = system_class(name)
    try:
        cls.check_simulated(deployment, load_profile(profile), RANK)
    except DeploymentError:
        return True
    return False


def answers(name: str, profile: str, deployment: Deployment) -> set[str]:
    """Return how calls of both functions, long after each other, end."""
    load = OpenLoad(
        [Arrival(n, n * 600_000_000_000, f"f{n}", 512, 512) for n in range(2)],
    )
    cls: Any = system_class(name)
    outcome = cls.simulate(deployment, load_profile(profile), load, RANK)
    return {call.status for call in outcome.platform.calls.values()}


@pytest.mark.parametrize(
    ("name", "profile", "isolation", "options", "kind"),
    [
        ("serverless-lora", "l40s", "function", {}, "cuda"),
        ("serverless-lora", "l40s", "function", {"template_at_deployment": True}, "cuda"),
        (
            "serverless-lora",
            "h100",
            "function",
            {"prewarmed": 2, "backbones_at_deployment": True},
            "cuda",
        ),
        ("serverless-lora", "h100", "backbone", {}, "cuda"),
        ("serverless-lora-no-sharing", "h100", "function", {"prewarmed": 2}, "cuda"),
        ("serverless-llm", "l40s", "function", {}, "cuda"),
        ("instainfer", "h100", "function", {}, "cuda"),
        ("serverless-lora", "cpu-small", "function", {}, "cpu"),
    ],
)
def test_the_least_memory_that_is_accepted_is_the_least_that_answers(
    name: str, profile: str, isolation: Isolation, options: dict[str, Any], kind: str
) -> None:
    def on(size: int) -> Deployment:
        return deployed((size,), isolation, options, kind)

    too_small, enough = 1 << 20, 80 << 30
    while enough - too_small > 1:
        middle = (too_small + enough) // 2
        if refused(name, profile, on(middle)):
            too_small = middle
        else:
            enough = middle
    assert answers(name, profile, on(enough)) == {"ok"}
    assert answers(name, profile, on(too_small)) == {"timeout"}


def test_one_of_several_devices_that_has_room_is_enough() -> None:
    small, large = 1 << 30, 44 << 30
    for name in ("serverless-lora", "serverless-llm"):
        assert refused(name, "l40s", deployed((small, small)))
        assert not refused(name, "l40s", deployed((small, large)))
