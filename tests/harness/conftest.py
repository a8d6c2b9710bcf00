"""The reference server, to which tests of the client and of the checks send their requests; cells
without worker processes."""

from collections.abc import Iterator

import pytest

from harness.execution import orders
from harness.reference import making
from harness.reference_server import ReferenceServer, running_reference_server


@pytest.fixture(scope="module")
def server() -> Iterator[ReferenceServer]:
    with running_reference_server() as running:
        yield running


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate without worker processes: starting them takes longer than the cells."""
    for module in (orders, making):
        monkeypatch.setattr(module, "cores", lambda: 1)
