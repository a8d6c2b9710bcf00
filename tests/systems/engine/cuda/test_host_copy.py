"""Host memory is copied whole, whichever threads do it."""

from __future__ import annotations

import threading

import pytest
import torch

from systems.engine.cuda import host_copy
from systems.engine.cuda.host_copy import LEAST, copy_on_host


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_copy.os, "sched_getaffinity", lambda _: set(range(4)))


@pytest.mark.usefixtures("four_cores")
@pytest.mark.parametrize("size", [0, 1, LEAST, 2 * LEAST - 1, 2 * LEAST + 1, 5 * LEAST + 3])
def test_all_bytes_arrive(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    source = torch.randint(256, (size,), dtype=torch.uint8, generator=generator)
    target = torch.zeros(size, dtype=torch.uint8)
    copy_on_host(target, source)
    assert torch.equal(target, source)


@pytest.mark.usefixtures("four_cores")
def test_a_copy_that_fails_on_another_thread_raises() -> None:
    """The parts differ in length: the last has no room."""
    with pytest.raises(RuntimeError):
        copy_on_host(torch.zeros(4 * LEAST, dtype=torch.uint8), torch.zeros(LEAST))


def test_with_one_core_no_thread_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_copy.os, "sched_getaffinity", lambda _: {0})
    before = threading.active_count()
    copy_on_host(torch.zeros(8 * LEAST, dtype=torch.uint8), torch.ones(8 * LEAST))
    assert threading.active_count() == before
