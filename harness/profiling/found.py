"""What is measured of a machine: a number or a curve, and its source."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from harness.errors import HarnessError
from systems.simulation.number import Kind

Points = tuple[tuple[float, float], ...]


class Found(NamedTuple):
    """``source``: how ``value`` was found. ``kind``: whether it was measured, or derived from what
    was, by the arithmetic that the source states."""

    value: float | Points
    source: str
    kind: Kind = "measured"


def median(values: Any, what: str) -> Found:
    """Return the median of ``values``, which tell ``what``. Raise ``HarnessError`` without any."""
    if not len(values):
        raise HarnessError(f"profile: no probe shows {what}; run nothing else on the machine")
    return Found(float(np.median(values)), f"{what}, median of {len(values)}")


def as_number(found: Found) -> float:
    """Return the value of what is no curve."""
    assert not isinstance(found.value, tuple), found.source
    return found.value


def as_curve(found: Found) -> Points:
    """Return the points of what is a curve."""
    assert isinstance(found.value, tuple), found.source
    return found.value
