"""The reference server, to which tests of the client and of the checks send their requests."""

from collections.abc import Iterator

import pytest

from harness.reference_server import ReferenceServer, running_reference_server


@pytest.fixture(scope="module")
def server() -> Iterator[ReferenceServer]:
    with running_reference_server() as running:
        yield running
