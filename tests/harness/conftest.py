"""The reference server, to which tests of the client and of the checks send their requests; a
machine of one core."""

import os
from collections.abc import Iterator

import pytest

from harness.reference_server import ReferenceServer, running_reference_server


@pytest.fixture(scope="module")
def server() -> Iterator[ReferenceServer]:
    with running_reference_server() as running:
        yield running


@pytest.fixture
def one_core() -> Iterator[None]:
    """Simulate without worker processes: starting them takes longer than the cells."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    yield
    os.sched_setaffinity(0, cores)
