"""Values of requests in order of arrival, and their sums by block of neighbouring requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .arrays import Rows, Values
from .dependence import Dependence, dependence


@dataclass(frozen=True, eq=False)
class Series:
    """``values`` [m] and the request that each belongs to: ``rows`` [m], non-decreasing, in
    [0, ``size``). A request may have no value, or several (the gaps between its tokens). Blocks
    are of requests, so that two systems under one schedule have the same blocks."""

    values: Values
    rows: Rows
    size: int

    @staticmethod
    def of(values: Values) -> Series:
        """A value per request in order of arrival; NaN where there is none."""
        found = np.asarray(values, dtype=np.float64)
        rows = np.flatnonzero(~np.isnan(found))
        return Series(found[rows], rows, len(found))

    @staticmethod
    def pooled(parts: Sequence[Series]) -> Series:
        """The series of several cells, one after the other."""
        sizes = [part.size for part in parts]
        offsets = np.cumsum([0, *sizes[:-1]])
        rows = [part.rows + offset for part, offset in zip(parts, offsets, strict=True)]
        values = np.concatenate([part.values for part in parts])
        return Series(values, np.concatenate(rows), sum(sizes))

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def ordered(self) -> Values:
        """The values by size."""
        return np.sort(self.values)

    @cached_property
    def dependence(self) -> Dependence:
        return dependence(self.values, self.size)

    @cached_property
    def blocks(self) -> int:
        """Into how many blocks the requests are cut."""
        return self.dependence.blocks(self.size)

    def halves(self, values: Values, blocks: int) -> Values:
        """[2b, 2]: the sum of ``values`` [m] and their number by half a block (by block, where a
        block is one request); blocks are equally many requests."""
        parts = min(2 * blocks, self.size)
        starts = -(-np.arange(parts + 1) * self.size // parts)
        edges = np.searchsorted(self.rows, starts)
        counts = np.diff(edges)
        # reduceat gives an empty stretch the value after it, and wants one to be there.
        sums = np.add.reduceat(np.append(values, 0.0), edges[:-1])
        return np.stack([np.where(counts > 0, sums, 0.0), counts.astype(np.float64)], axis=1)
