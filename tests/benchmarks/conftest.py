"""The model of the benchmarks. If nothing is measured, the smallest one shows that they run."""

from __future__ import annotations

from pathlib import Path

import pytest

from systems.errors import CheckpointError
from systems.interface import Deployment, Device, Function, Limits
from systems.models import ensure_backbone


@pytest.fixture(scope="module")
def backbone(pytestconfig: pytest.Config) -> Path:
    measured = pytestconfig.getoption("benchmark_enable")
    try:
        return ensure_backbone("smollm2-135m" if measured else "tiny")
    except CheckpointError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def deployment(backbone: Path) -> Deployment:
    """Of a function without an adapter."""
    return Deployment(
        functions=(Function(id="f0", backbone="b"),),
        backbones={"b": backbone},
        devices=(Device(name="cpu:0", memory_bytes=1 << 30),),
        limits=Limits(max_context_tokens=4096),
    )
