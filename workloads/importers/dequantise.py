"""Times that lie on a grid coarser than the arrivals they stand for, spread by a named rule."""

from __future__ import annotations

import numpy as np

from ..streams import stream
from .rows import Ints

RULE = "uniform-within-smallest-gap"


def grid_ns(times: Ints) -> int:
    """The smallest gap between two distinct times of a sorted column where some tie; 0 where
    none do, or all do and nothing tells the grid."""
    gaps = np.diff(times)
    return int(gaps[gaps > 0].min()) if (gaps == 0).any() and gaps.any() else 0


def spread(times: Ints, grid: int, seed: int, name: str) -> Ints:
    """Each time moved by an independent uniform draw in [0, ``grid``) ns, sorted; as no two
    distinct times are nearer than the grid, rows keep the order of their source."""
    draws = stream(seed, name, "dequantise").integers(0, max(grid, 1), len(times))
    return untied(np.sort(times + draws))


def untied(times: Ints) -> Ints:
    """The nearest strictly increasing times that are nowhere earlier than the sorted ones."""
    steps = np.arange(len(times))
    moved: Ints = np.maximum.accumulate(times - steps) + steps
    return moved
