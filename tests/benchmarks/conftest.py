"""Where nothing is measured, all that is of interest is that it runs: on the smallest model."""

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
