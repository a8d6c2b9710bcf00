"""Values of requests in order of arrival, and their sums over blocks of successive requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .arrays import Rows, Values
from .dependence import Dependence, dependence


@dataclass(frozen=True, eq=False)
class Series:
    """``values`` [m] and the request of each: ``rows`` [m], non-decreasing, in [0, ``size``). A
    request may have no value, or several (the gaps between its tokens). Blocks consist of requests,
    so that two systems under one schedule have the same blocks."""

    values: Values
    rows: Rows
    size: int

    @staticmethod
    def of(values: Values) -> Series:
        """One value per request in order of arrival; NaN if it has none."""
        found = np.asarray(values, dtype=np.float64)
        rows = np.flatnonzero(~np.isnan(found))
        return Series(found[rows], rows, len(found))

    @staticmethod
    def pooled(parts: Sequence[Series]) -> Series:
        """Concatenate the series of several cells."""
        sizes = [part.size for part in parts]
        offsets = np.cumsum([0, *sizes[:-1]])
        rows = [part.rows + offset for part, offset in zip(parts, offsets, strict=True)]
        values = np.concatenate([part.values for part in parts])
        return Series(values, np.concatenate(rows), sum(sizes))

    def __len__(self) -> int:
        return len(self.values)

    @property
    def of_one(self) -> bool:
        """Whether all values are of one request: they do not say how requests differ."""
        return len(self) > 0 and bool(self.rows[0] == self.rows[-1])

    @cached_property
    def ordered(self) -> Values:
        """The sorted values."""
        return np.sort(self.values)

    @cached_property
    def dependence(self) -> Dependence:
        return dependence(self.values, self.size)

    @cached_property
    def blocks(self) -> int:
        """Number of blocks into which the requests are split."""
        return self.dependence.blocks(self.size)

    def halves(self, values: Values, blocks: int) -> Values:
        """Return [2b, 2]: sum and number of ``values`` [m] per half-block (per block if a block is
        one request). All blocks have the same number of requests."""
        parts = min(2 * blocks, self.size)
        starts = -(-np.arange(parts + 1) * self.size // parts)
        edges = np.searchsorted(self.rows, starts)
        counts = np.diff(edges)
        # For an empty range reduceat returns the next value, which must exist.
        sums = np.add.reduceat(np.append(values, 0.0), edges[:-1])
        return np.stack([np.where(counts > 0, sums, 0.0), counts.astype(np.float64)], axis=1)
