"""The host tier of adapters is in the system trace of a node with GPUs, and so in its bill."""

from __future__ import annotations

from pathlib import Path

import pytest

from systems.interface import Deployment, Device, MemoryOwner
from systems.runtime import journal

from .puppets import Stage, play


@pytest.mark.parametrize(("device", "counted"), [("cuda:0", True), ("cpu:0", False)])
def test_what_no_process_maps_is_held_by_the_host(
    device: str, counted: bool, deployment: Deployment, tmp_path: Path
) -> None:
    """On cores the places of instances are these pages, and the device counts them."""
    devices = (Device(name=device, memory_bytes=8 << 30),)
    sizes: list[int] = []

    async def scene(stage: Stage) -> None:
        tier, failed = stage.node.adapters, list[str]()
        tier.get("f0", pytest.fail, failed.append)
        sizes.append(tier.nbytes)
        stage.puppets[-1].dies()
        await stage.until(lambda: failed)

    play(deployment.model_copy(update={"devices": devices}), tmp_path, scene)
    steps = [
        (step.device, step.function_id, step.bytes)
        for step in journal.read(tmp_path / "journal").memory
        if step.owner is MemoryOwner.HOST_TIER
    ]
    assert sizes[0] > 0
    assert steps == ([("host", None, sizes[0]), ("host", None, 0)] if counted else [])
