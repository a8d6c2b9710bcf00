"""Grouped LoRA: one pass over rows of several adapters; x·Wᵀ once, each row's own B·A in addition.

The rows of an adapter are gathered, multiplied by its A and B, and scattered back: one pair of
products per adapter and projection. Contiguous rows (such as a prompt's) are a view, not gathered.
tests/benchmarks/test_cross_adapter.py compares this with matrices gathered by an index per row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .adapter import AdapterWeights, Delta, LayerAdapter
from .projections import FUSED

Rows = slice | Tensor


@dataclass(frozen=True, slots=True)
class GroupedLora:
    """The adapters of one fused projection, each with the rows that it applies to."""

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
    """Map each adapter to its rows; sequence i has ``lengths[i]`` rows and the adapter
    ``names[i]`` (None: the backbone alone). Contiguous rows are returned as a slice."""
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
    """Build the additions of each of ``layers`` layers from the ``rows`` of each adapter."""
    return tuple(
        LayerAdapter(**{part: _of(adapters, rows, index, part) for part in FUSED})
        for index in range(layers)
    )


def _of(
    adapters: Mapping[str, AdapterWeights], rows: Mapping[str, Rows], layer: int, part: str
) -> GroupedLora | None:
    parts = tuple(
        (each, delta)
        for name, each in rows.items()
        if isinstance(delta := getattr(adapters[name].layers[layer], part), Delta)
    )
    return GroupedLora(parts) if parts else None
