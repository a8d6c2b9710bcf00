"""Host memory is copied whole, whichever threads do it."""

from __future__ import annotations

import threading

import pytest
import torch

from systems.engine.cuda import host_copy
from systems.engine.cuda.host_copy import LEAST, copy_on_host

SIZES = [
    [],
    [0],
    [1],
    [2 * LEAST - 1],
    [5 * LEAST + 3],
    [1, LEAST, 7, 3 * LEAST],
    [LEAST // 3] * 20,
]


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_copy.os, "sched_getaffinity", lambda _: set(range(4)))


@pytest.mark.usefixtures("four_cores")
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_all_bytes_arrive(sizes: list[int]) -> None:
    generator = torch.Generator().manual_seed(1)
    sources = [torch.randint(256, (n,), dtype=torch.uint8, generator=generator) for n in sizes]
    targets = [torch.zeros_like(each) for each in sources]
    copy_on_host(list(zip(targets, sources, strict=True)))
    assert all(torch.equal(*pair) for pair in zip(targets, sources, strict=True))


@pytest.mark.usefixtures("four_cores")
def test_a_copy_that_fails_on_another_thread_raises() -> None:
    """The parts differ in length: the source ends before the last of them."""
    with pytest.raises(RuntimeError):
        copy_on_host([(torch.zeros(4 * LEAST), torch.zeros(3 * LEAST + 2))])


def test_with_one_core_no_thread_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_copy.os, "sched_getaffinity", lambda _: {0})
    before = threading.active_count()
    copy_on_host([(torch.zeros(8 * LEAST), torch.ones(8 * LEAST))])
    assert threading.active_count() == before
