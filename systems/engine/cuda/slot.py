"""A slot for one adapter at fixed addresses, so that graphs stay valid when adapters change."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from systems.engine.adapter import StoredAdapter, StoredPair
from systems.engine.packed import SlotShape, pack, ranks_in
from systems.engine.projections import Projection, target_shapes

from .adapter_memory import AdapterMemory
from .ops import LoraPlaces
from .staging import moved

ONLY = 1  # the number of the slot's place


class AdapterSlot:
    """Device memory for one adapter of ``shape``; initially empty: the backbone alone."""

    def __init__(self, shape: SlotShape, device: str) -> None:
        self.shape = shape
        self._memory = AdapterMemory(shape, 1, device)

    @property
    def nbytes(self) -> int:
        return self._memory.nbytes

    def at(self, name: str, index: int) -> LoraPlaces | None:
        """Return the slot's part for a fused projection in layer ``index``; None: no addition."""
        return self._memory.at(name, index)

    def numbers(self, names: Sequence[str | None]) -> list[int] | None:
        """Return each sequence's place: the only one, whatever the names."""
        return [ONLY] * len(names)

    def modes(self, sequences: int) -> list[list[int] | None]:
        """Return the values of :meth:`numbers` for which graphs differ."""
        return [[ONLY] * sequences]

    def put(self, packed: Tensor) -> None:
        """Copy in an adapter of :func:`pack`, from host or device, at once. The copy is ordered
        before later launches."""
        self._memory.put(ONLY, packed)

    def load(self, stored: StoredAdapter) -> None:
        """Load an adapter of this shape from its stored form, in a fraction of the time that
        packing takes on the host, and waiting for the device as rarely as possible. Raise
        ``AdapterError`` as :func:`pack`."""
        pack(stored, self.shape, self._memory.place(ONLY), moved)
        self._memory.bound(ONLY, ranks_in(stored, self.shape))

    def rehearse(self) -> None:
        """Load the kernels that :meth:`load` needs, by loading adapters of zeros."""
        config, rank = self.shape.config, self.shape.rank
        for dtype in {self.shape.dtype, torch.float32}:
            pairs: dict[Projection, StoredPair] = {}
            for target in self.shape.targets:
                out, inner = target_shapes(config)[target]
                a, b = (torch.zeros(size, dtype=dtype) for size in ((rank, inner), (out, rank)))
                pair = StoredPair(a, b, 1.0)
                pairs |= {(layer, target): pair for layer in range(config.num_layers)}
            self.load(StoredAdapter("zeros", pairs))

    def clear(self) -> None:
        """Reset to the backbone alone."""
        self._memory.clear(ONLY)
