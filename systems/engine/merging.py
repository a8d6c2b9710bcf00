"""Merges an adapter into the backbone's weights, W + B·A, and unmerges it.

Merging writes weights, so they must be a private, writable copy. The overwritten values are saved
and copied back. Subtracting B·A would leave an error (in float32 an ulp of W, in half precision
2⁻⁹ of it) that grows with every merge, so a function's outputs would depend on which neighbours
were merged before. Copying back is bit-exact and one pass over memory; it costs a second copy
of the projections that adapters target.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from .adapter import AdapterWeights, Delta
from .batching import Running
from .projections import FUSED
from .weights import BackboneWeights


class Merger:
    """Holds at most one adapter merged into ``weights``."""

    def __init__(self, weights: BackboneWeights) -> None:
        self._weights = weights
        self._kept: dict[tuple[int, str], Tensor] = {}
        self._written: list[tuple[int, str]] = []

    @property
    def nbytes(self) -> int:
        """Bytes of the saved originals; they stay allocated for the next merge."""
        return sum(kept.nbytes for kept in self._kept.values())

    @torch.inference_mode()
    def merge(self, adapter: AdapterWeights) -> None:
        """Unmerge the present adapter and merge ``adapter``; sums are float32, rounded once."""
        self.unmerge()
        for index, layer in enumerate(adapter.layers):
            for name in FUSED:
                delta: Delta | None = getattr(layer, name)
                if delta is not None:
                    self._add(index, name, delta)

    def _add(self, index: int, name: str, delta: Delta) -> None:
        matrix: Tensor = getattr(self._weights.layers[index], name)
        key = index, name
        if key not in self._kept:  # what is not merged is as it was
            self._kept[key] = matrix.clone()
        self._written.append(key)
        a = delta.a.to(matrix.device)
        for part in delta.parts:
            rows = matrix[part.start : part.stop]
            b = part.b.t().to(matrix.device)
            rows.addmm_(b.to(rows.dtype), a[part.low : part.high].to(rows.dtype))

    @torch.inference_mode()
    def unmerge(self) -> None:
        """Restore the backbone bit for bit."""
        for index, name in self._written:
            matrix: Tensor = getattr(self._weights.layers[index], name)
            matrix.copy_(self._kept[index, name])
        self._written.clear()


class Merging(ABC):
    """For engines whose requests name their adapters: which adapter is merged, and which remain to
    be added."""

    def __init__(self, weights: BackboneWeights) -> None:
        self._merger = Merger(weights)
        self._merged: str | None = None

    @abstractmethod
    def _adapter(self, name: str) -> AdapterWeights:
        """Return the adapter that is held as ``name``."""

    @property
    def merged(self) -> str | None:
        return self._merged

    def merge(self, adapter: str | None) -> None:
        """Merge ``adapter``, which then runs alone; None: all adapters run unmerged."""
        if adapter == self._merged:
            return
        if adapter is None:
            self._merger.unmerge()
        else:
            self._merger.merge(self._adapter(adapter))
        self._merged = adapter

    def _unmerge(self, name: str) -> None:
        """Restore the backbone if ``name`` is merged into it."""
        if name == self._merged:
            self.merge(None)

    def _unmerged(self, sequences: Sequence[Running]) -> list[str | None]:
        """Return the adapter to add to each sequence's rows. Raise ``ValueError`` if a sequence has
        another adapter than the merged one."""
        names = [sequence.request.adapter for sequence in sequences]
        if self._merged is None:
            return names
        others = sorted({str(name) for name in names if name != self._merged})
        if others:
            raise ValueError(f"{self._merged} is merged; {', '.join(others)} cannot run beside it")
        return [None] * len(names)
