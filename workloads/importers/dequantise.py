"""Spreads times that lie on a coarse grid, by a named rule."""

from __future__ import annotations

import numpy as np

from ..streams import stream
from .rows import Ints

RULE = "uniform-within-smallest-gap"


def grid_ns(times: Ints) -> int:
    """Return the smallest gap between two distinct times of a sorted column with equal times; 0 if
    no times are equal, or if all are (then the grid is unknown)."""
    gaps = np.diff(times)
    return int(gaps[gaps > 0].min()) if (gaps == 0).any() and gaps.any() else 0


def spread(times: Ints, grid: int, seed: int, name: str) -> Ints:
    """Add an independent uniform draw in [0, ``grid``) ns to each time, and sort. No two distinct
    times are closer than the grid, so rows keep the order of their source."""
    draws = stream(seed, name, "dequantise").integers(0, max(grid, 1), len(times))
    return untied(np.sort(times + draws))


def untied(times: Ints) -> Ints:
    """Return the smallest strictly increasing times that are not earlier than the sorted ones."""
    steps = np.arange(len(times))
    moved: Ints = np.maximum.accumulate(times - steps) + steps
    return moved
