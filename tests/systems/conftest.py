"""A deployment of four functions on the tiny backbone, for tests of every kind of system."""

from __future__ import annotations

from pathlib import Path

import pytest

from systems.interface import Deployment, Device, Function, Limits
from systems.models import ensure_adapters, ensure_backbone

NAMES = ("f0", "f1", "f2", "f3")


@pytest.fixture(scope="session")
def tiny() -> Path:
    return ensure_backbone("tiny")


@pytest.fixture(scope="session")
def deployment(tiny: Path) -> Deployment:
    adapters = ensure_adapters(tiny, list(NAMES), rank=8)
    return Deployment(
        functions=tuple(Function(id=n, backbone="tiny", adapter=adapters[n]) for n in NAMES),
        backbones={"tiny": tiny},
        dtype="float32",
        devices=(Device(name="cpu:0", memory_bytes=2 << 30),),
        limits=Limits(
            max_batch_size=4,
            max_context_tokens=512,
            keep_alive_s=60,
            request_timeout_s=280,
            threads_per_instance=1,
        ),
    )
