"""Packed adapters on the device at fixed addresses.

A step takes the number of each sequence's place as an input and finds the adapter, its ranks
included, by that number. So graphs stay valid whatever is put into the places.
"""

from __future__ import annotations

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
        layers = shape.config.num_layers
        self._sizes = sizes = {
            name: (layers, count, len(spans) + 1) for name, spans in self._spans.items()
        }
        self._bounds = {name: _by_layer(size, device) for name, size in sizes.items()}
        # Copied whole: a copy of some rows would need a kernel, which a new process has to load.
        self._on_host = {name: _by_layer(size, "cpu") for name, size in sizes.items()}

    @property
    def nbytes(self) -> int:
        return self._flat.nbytes

    def at(self, name: str, index: int) -> LoraPlaces | None:
        """Return the adapters of a fused projection in layer ``index``; None: none has any."""
        if name not in self._views:
            return None
        a, b = (half[:, index] for half in self._views[name])
        bounds = _rows(self._bounds[name], self._sizes[name])[index]
        return LoraPlaces(a, b, bounds, self._spans[name])

    def place(self, number: int) -> Tensor:
        """Return the bytes of a place."""
        return self._flat[number - 1]

    def put(self, number: int, packed: Tensor) -> None:
        """Copy in a packed adapter, ordered before later launches. Raise ``ValueError``, changing
        nothing, if it does not have this shape."""
        ranks = ranks_of(packed, self._shape)
        copy_to_device(self.place(number), as_bytes(packed, self._shape))
        self.bound(number, ranks)

    def bound(self, number: int, ranks: Tensor) -> None:
        """Set the ranks (layers, targets) of an adapter that was packed into a place."""
        for name, whole in self._on_host.items():
            rows = _rows(whole, self._sizes[name])
            rows[:, number - 1] = bounds_of(ranks, self._shape, name)
            copy_to_device(_bytes(self._bounds[name]), _bytes(whole))

    def clear(self, number: int) -> None:
        """Empty a place: steps do not read what is left there."""
        layers, targets = self._shape.config.num_layers, len(self._shape.targets)
        self.bound(number, torch.zeros(layers, targets, dtype=torch.int32))


def _by_layer(size: tuple[int, int, int], device: str) -> Tensor:
    """Return zeros for int32 values (layers, places, bounds), of which each layer's begin at a
    multiple of 16 bytes: Triton would compile another kernel for an address that does not."""
    layers, places, bounds = size
    return torch.zeros(layers, -(-places * bounds // 4) * 4, dtype=torch.int32, device=device)


def _bytes(whole: Tensor) -> Tensor:
    return whole.view(-1).view(torch.uint8)


def _rows(whole: Tensor, size: tuple[int, int, int]) -> Tensor:
    layers, places, bounds = size
    return whole[:, : places * bounds].view(layers, places, bounds)
