"""Rows of several adapters in one pass: x·Wᵀ once for all, each row's own B·A beside it.

Rows of one adapter are gathered, multiplied by its A and its B, and put back: one pair of products
an adapter and projection. Rows that lie together (a prompt's do) are a view and need no gathering.
tests/benchmarks/test_cross_adapter.py holds it against matrices gathered by an index per row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .adapter import FUSED, AdapterWeights, Delta, LayerAdapter

Rows = slice | Tensor


@dataclass(frozen=True, slots=True)
class CrossDelta:
    """The adapters of one fused projection, each with its rows."""

    parts: tuple[tuple[Rows, Delta], ...]

    def add_to(self, y: Tensor, x: Tensor) -> Tensor:
        """``y`` (rows, out) += each row's own B·A·``x`` (rows, in), in place."""
        for rows, delta in self.parts:
            if isinstance(rows, slice):
                delta.add_to(y[rows], x[rows])
            else:
                y.index_copy_(0, rows, delta.add_to(y[rows], x[rows]))
        return y


def rows_of(names: Sequence[str | None], lengths: Sequence[int]) -> dict[str, Rows]:
    """Which rows are each adapter's, where sequence i has ``lengths[i]`` of them and the adapter
    ``names[i]`` (None: the backbone alone). Those that lie together come as a slice."""
    found: dict[str, list[tuple[int, int]]] = {}
    start = 0
    for name, length in zip(names, lengths, strict=True):
        if name is not None:
            found.setdefault(name, []).append((start, start + length))
        start += length
    return {name: _joined(ranges) for name, ranges in found.items()}


def _joined(ranges: Sequence[tuple[int, int]]) -> Rows:
    first, last = ranges[0][0], ranges[-1][1]
    if last - first == sum(stop - start for start, stop in ranges):
        return slice(first, last)
    return torch.cat([torch.arange(*each) for each in ranges])


def cross(
    adapters: Mapping[str, AdapterWeights], rows: Mapping[str, Rows], layers: int
) -> tuple[LayerAdapter, ...]:
    """What is added in each of ``layers`` to ``rows``, by adapter."""
    return tuple(
        LayerAdapter(**{part: _of(adapters, rows, index, part) for part in FUSED})
        for index in range(layers)
    )


def _of(
    adapters: Mapping[str, AdapterWeights], rows: Mapping[str, Rows], layer: int, part: str
) -> CrossDelta | None:
    parts = tuple(
        (each, delta)
        for name, each in rows.items()
        if isinstance(delta := getattr(adapters[name].layers[layer], part), Delta)
    )
    return CrossDelta(parts) if parts else None
