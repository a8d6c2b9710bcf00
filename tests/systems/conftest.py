"""A deployment of four functions on the tiny backbone, for tests of every kind of system."""

from __future__ import annotations

from pathlib import Path

import pytest

from systems.errors import CheckpointError
from systems.interface import Deployment, Limits
from systems.models import ensure_backbone
from tests.deployments import tiny_deployment


@pytest.fixture(scope="session")
def tiny() -> Path:
    return ensure_backbone("tiny")


@pytest.fixture(scope="session")
def smollm2() -> Path:
    try:
        return ensure_backbone("smollm2-135m")
    except CheckpointError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def deployment() -> Deployment:
    limits = Limits(
        max_batch_size=4,
        max_context_tokens=512,
        keep_alive_s=60,
        request_timeout_s=280,
        threads_per_instance=1,
    )
    return tiny_deployment(limits)
