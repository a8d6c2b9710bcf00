"""The memory ledger of a device."""

from __future__ import annotations

import pytest

from systems.interface import MemoryOwner
from systems.serverless.core.memory import Holding, MemoryLedger

FIRST, SECOND = (Holding(MemoryOwner.KV, i, f"f{i}") for i in range(2))


def test_what_would_exceed_the_device_is_refused_and_changes_nothing() -> None:
    """If the ledger granted bytes that do not exist, the kernel or the GPU would end the instance
    while it answers requests."""
    told: list[tuple[Holding, int]] = []
    ledger = MemoryLedger(100, lambda holding, change: told.append((holding, change)))
    ledger.resize(FIRST, 60)
    with pytest.raises(MemoryError, match="41 bytes requested, 40 free"):
        ledger.resize(SECOND, 41)
    with pytest.raises(MemoryError):
        ledger.resize(FIRST, 101)
    assert (ledger.used, ledger.held(FIRST), ledger.held(SECOND)) == (60, 60, 0)
    ledger.resize(FIRST, 10)
    assert told == [(FIRST, 60), (FIRST, -50)]


def test_a_device_can_be_filled_to_its_last_byte_and_a_holding_shrinks_when_it_is() -> None:
    ledger = MemoryLedger(100, lambda holding, change: None)
    ledger.resize(FIRST, 60)
    ledger.resize(SECOND, 40)
    assert ledger.free == 0
    ledger.resize(FIRST, 10)
    assert ledger.free == 50
    ledger.resize(FIRST, 0)
    assert (ledger.free, ledger.held(FIRST)) == (60, 0)
