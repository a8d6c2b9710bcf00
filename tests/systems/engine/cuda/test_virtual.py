"""Memory on demand, with a driver that has little of it."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest

from systems.engine.cuda import virtual
from systems.errors import DeploymentError


class Result(Enum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_OUT_OF_MEMORY = 2


class Driver:
    """Another process holds all memory until it was asked for ``given_back_at`` times."""

    CUresult = Result

    def __init__(self, given_back_at: int) -> None:
        self.asked, self._given_back_at = 0, given_back_at
        self.cuMemAddressReserve = lambda *_: (Result.CUDA_SUCCESS, 4096)
        self.cuMemCreate = self._create
        self.cuMemUnmap = lambda *_: self.note("unmap")
        self.cuCtxSynchronize = lambda: self.note("wait")
        self.cuMemSetAccess = self.cuMemRelease = lambda *_: (Result.CUDA_SUCCESS,)
        self.done: list[str] = []

    def _create(self, *_: Any) -> tuple[Any, ...]:
        self.asked += 1
        short = 1 < self.asked <= self._given_back_at
        return (Result.CUDA_ERROR_OUT_OF_MEMORY, None) if short else (Result.CUDA_SUCCESS, 1)

    def note(self, what: str) -> tuple[Any, ...]:
        self.done.append(what)
        return (Result.CUDA_SUCCESS,)

    def __getattr__(self, name: str) -> Any:
        return lambda *_: (Result.CUDA_SUCCESS,)


def backed(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> virtual.BackedSlots:
    monkeypatch.setattr(virtual, "driver", lambda: driver)
    for name in ("properties", "access"):
        monkeypatch.setattr(virtual, name, lambda *_, **__: None)
    return virtual.BackedSlots(4, 1 << 21)


def test_a_slot_waits_for_what_another_process_gives_back(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(given_back_at=5)
    slots = backed(driver, monkeypatch)
    slots.hold(2)
    assert (slots.held, driver.asked) == (2, 6)


def test_a_card_that_stays_full_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = backed(Driver(given_back_at=10**9), monkeypatch)
    monkeypatch.setattr(virtual, "PATIENCE_S", 0.01)
    with pytest.raises(DeploymentError, match="CUDA_ERROR_OUT_OF_MEMORY"):
        slots.hold(2)
    assert slots.held == 1


def test_memory_is_unmapped_only_where_it_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work on a slot may be queued yet, such as what sets it to zero."""
    slots = backed(Driver(given_back_at=0), monkeypatch)
    slots.hold(3)
    slots.hold(2)
    assert slots.held == 3
    slots.give_back(2)
    assert slots.held == 2


def test_memory_that_cannot_be_mapped_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(given_back_at=0)
    slots = backed(driver, monkeypatch)
    driver.cuMemSetAccess = lambda *_: (Result.CUDA_ERROR_OUT_OF_MEMORY,)
    driver.cuMemRelease = lambda *_: driver.note("release")
    with pytest.raises(DeploymentError):
        slots.hold(2)
    assert (slots.held, driver.done) == (1, ["unmap", "release"])


def test_what_is_dropped_is_unmapped_after_its_queued_work(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(given_back_at=0)
    slots = backed(driver, monkeypatch)
    slots.hold(2)
    del slots
    assert driver.done == ["wait", "unmap", "unmap"]
