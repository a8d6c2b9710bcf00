"""The model of the benchmarks. If nothing is measured, the smallest one shows that they run."""

from __future__ import annotations

from pathlib import Path

import pytest

from systems.errors import CheckpointError
from systems.models import ensure_backbone


@pytest.fixture(scope="module")
def backbone(pytestconfig: pytest.Config) -> Path:
    measured = pytestconfig.getoption("benchmark_enable")
    try:
        return ensure_backbone("smollm2-135m" if measured else "tiny")
    except CheckpointError as missing:
        pytest.skip(str(missing))
