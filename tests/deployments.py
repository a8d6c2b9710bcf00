"""Deployments of the tiny backbone, for tests of real systems."""

from __future__ import annotations

from collections.abc import Iterable

from systems.interface import Deployment, Device, Function, Limits
from systems.models import ensure_adapters, ensure_backbone

FUNCTIONS = ("f0", "f1", "f2", "f3")


def tiny_deployment(
    limits: Limits, functions: Iterable[str] = FUNCTIONS, gib: float = 2, device: str = "cpu:0"
) -> Deployment:
    """Return a deployment of functions with adapters of rank 8 on one device of ``gib`` GiB."""
    tiny = ensure_backbone("tiny")
    adapters = ensure_adapters(tiny, list(functions), rank=8)
    return Deployment(
        functions=tuple(
            Function(id=name, backbone="tiny", adapter=path) for name, path in adapters.items()
        ),
        backbones={"tiny": tiny},
        dtype="float32",
        devices=(Device(name=device, memory_bytes=round(gib * 2**30)),),
        limits=limits,
    )
