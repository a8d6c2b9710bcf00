"""What is measured of a machine: a number or a curve, and its source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from harness.errors import HarnessError
from systems.simulation.number import Kind

Points = tuple[tuple[float, float], ...]

ENOUGH, QUANTILES = 6, 5
"""Measurements whose distribution is told, and by how many quantiles."""


class Found(NamedTuple):
    """``source``: how ``value`` was found. ``kind``: whether it was measured, or derived from what
    was, by the arithmetic that the source states. ``spread``: quantiles of the single measurements,
    in multiples of ``value``, as a profile's numbers have them."""

    value: float | Points
    source: str
    kind: Kind = "measured"
    spread: tuple[float, ...] | None = None


def median(values: Any, what: str) -> Found:
    """Return the median of ``values``, which tell ``what``. Raise ``HarnessError`` without any."""
    if not len(values):
        raise HarnessError(f"profile: no probe shows {what}; run nothing else on the machine")
    return Found(float(np.median(values)), f"{what}, median of {len(values)}")


def undisturbed(values: Sequence[float]) -> float:
    """Return the lower quartile of durations, one of ``values``: the median of the shorter half.
    Other work on the machine only ever lengthens a duration, and there are few of each kind, so a
    median is off where half of them were lengthened."""
    return float(np.quantile(values, 0.25, method="inverted_cdf"))


def distribution(values: Any, what: str) -> Found:
    """Return the median of durations with their spread, if they are enough to tell one."""
    found = median(values, what)
    if len(values) < ENOUGH or not as_number(found):
        return found
    quantiles = np.quantile(values, np.linspace(0, 1, QUANTILES)) / as_number(found)
    return found._replace(spread=tuple(round(float(each), 3) for each in quantiles))


def as_number(found: Found) -> float:
    """Return the value of what is no curve."""
    assert not isinstance(found.value, tuple), found.source
    return found.value
