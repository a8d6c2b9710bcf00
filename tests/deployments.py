"""Deployments of the tiny backbone and of the skills, for tests of real systems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from systems.interface import Deployment, Device, Function, Limits
from systems.models import ensure_adapters, ensure_backbone, ensure_skills
from systems.models.skills import BACKBONE

FUNCTIONS = ("f0", "f1", "f2", "f3")


def tiny_deployment(
    limits: Limits, functions: Iterable[str] = FUNCTIONS, gib: float = 2, device: str = "cpu:0"
) -> Deployment:
    """Return a deployment of functions with adapters of rank 8 on one device of ``gib`` GiB."""
    return seeded_deployment(
        "tiny", ensure_backbone("tiny"), "float32", limits, functions, gib, device
    )


def seeded_deployment(
    backbone: str, path: Path, dtype: str, limits: Limits, functions: Iterable[str], gib: float,
    device: str,
) -> Deployment:  # fmt: skip
    """Return the same over the backbone at ``path``, which is called ``backbone``."""
    adapters = ensure_adapters(path, list(functions), rank=8)
    return _deployment(backbone, path, dtype, adapters, limits, gib, device)


def skilled_deployment(limits: Limits, gib: float = 4, device: str = "cpu:0") -> Deployment:
    """Return a deployment of a function for each skill, named as the skill. Their questions with
    the right answers: ``skills()[name].held_out(seed, count)``. Raise ``CheckpointError`` if the
    package with SmolLM2-135M is not installed."""
    adapters = ensure_skills(ensure_backbone(BACKBONE))
    path = ensure_backbone(BACKBONE)
    return _deployment(BACKBONE, path, "bfloat16", adapters, limits, gib, device)


def _deployment(
    backbone: str,
    path: Path,
    dtype: str,
    adapters: Mapping[str, Path],
    limits: Limits,
    gib: float,
    device: str,
) -> Deployment:
    return Deployment(
        functions=tuple(
            Function(id=name, backbone=backbone, adapter=adapter)
            for name, adapter in adapters.items()
        ),
        backbones={backbone: path},
        dtype=dtype,
        devices=(Device(name=device, memory_bytes=round(gib * 2**30)),),
        limits=limits,
    )
