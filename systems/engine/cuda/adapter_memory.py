"""Packed adapters on the device at fixed addresses.

A step takes the number of each sequence's place as an input and finds the adapter, its ranks
included, by that number. So graphs stay valid whatever is put into the places.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from systems.engine.packed import SlotShape, as_bytes, bounds_of, packed_views, ranks_of

from .ops import LoraPlaces
from .staging import copy_to_device


class AdapterMemory:
    """Device memory for adapters of ``shape`` in places 1 … ``count``; all are empty at first."""

    def __init__(self, shape: SlotShape, count: int, device: str) -> None:
        self._shape = shape
        self._flat = torch.zeros(count, shape.nbytes, dtype=torch.uint8, device=device)
        self._views = packed_views(self._flat, shape)
        self._spans = shape.spans
        self._bounds = {
            name: torch.zeros(count, len(spans) + 1, dtype=torch.int32, device=device)
            for name, spans in self._spans.items()
        }

    @property
    def nbytes(self) -> int:
        return self._flat.nbytes

    def at(self, name: str, index: int) -> LoraPlaces | None:
        """Return the adapters of a fused projection in layer ``index``; None: none has any."""
        if name not in self._views:
            return None
        a, b = (half[:, index] for half in self._views[name])
        return LoraPlaces(a, b, self._bounds[name], self._spans[name])

    def place(self, number: int) -> Tensor:
        """Return the bytes of a place."""
        return self._flat[number - 1]

    def put(self, number: int, packed: Tensor) -> None:
        """Copy in a packed adapter, ordered before later launches. Raise ``ValueError``, changing
        nothing, if it does not have this shape."""
        ranks = ranks_of(packed, self._shape)
        copy_to_device(self.place(number), as_bytes(packed, self._shape))
        self._set(number, ranks)

    def bound(self, number: int, ranks: Mapping[str, int]) -> None:
        """Set the ranks of an adapter that was packed into a place."""
        self._set(number, ranks)

    def clear(self, number: int) -> None:
        """Empty a place: steps do not read what is left there."""
        self._set(number, dict.fromkeys(self._shape.targets, 0))

    def _set(self, number: int, ranks: Mapping[str, int]) -> None:
        for name, spans in self._spans.items():
            bounds = torch.tensor(bounds_of(ranks, spans), dtype=torch.int32)
            self._bounds[name][number - 1].copy_(bounds, non_blocking=True)
