"""Loads of private copies beside each other, from probes whose loads may have missed each other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.profiling.beside import beside_copies
from harness.profiling.frames import StageSpan

SECOND = 10**9


def loads(*spans: tuple[float, float]) -> Any:
    """Make tables whose instances loaded in these times, in s."""
    found = [
        StageSpan(round(start * SECOND), round(end * SECOND), str(number), 128, 2)
        for number, (start, end) in enumerate(spans)
    ]
    return SimpleNamespace(stage=lambda *_: found)


def test_loads_at_once_tell_how_much_they_slow_each_other_down() -> None:
    found = beside_copies(loads((0.0, 1.25), (0.0, 1.25)), [0, 1], 1.0)
    assert found["private_beside"].value == pytest.approx(0.25)


def test_loads_that_missed_each_other_tell_nothing() -> None:
    assert beside_copies(loads((0.0, 1.0), (1.0, 2.0)), [0, 1], 1.0) == {}
