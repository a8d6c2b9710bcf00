"""The KV cache on the device: one slot per request at fixed addresses, as graphs need.

A slot holds a full context, (layers, 2, kv heads, tokens, head_dim); the tokens of a head are
contiguous, in the order in which attention reads them. If the device can map memory in pieces, only
the slots in use have memory, and one for the next request.
"""

from __future__ import annotations

import torch
from torch import Tensor

from systems.engine.config import ModelConfig
from systems.engine.kv_cache import exchange

from .buckets import slot_bytes
from .virtual import BackedSlots


class SlabCache:
    """Slots 0 … n-1 are in use. ``backed``: memory is mapped per slot, which requires operations
    that do not touch the slots of padding; otherwise all memory is allocated and zeroed once, since
    a masked position must not be NaN. ``layers``: per layer (2, slots, kv heads, tokens,
    head_dim)."""

    def __init__(
        self,
        config: ModelConfig,
        slots: int,
        tokens: int,
        dtype: torch.dtype,
        device: str,
        *,
        backed: bool = False,
    ) -> None:
        self.bytes_per_token = 2 * config.num_layers * config.kv_size * dtype.itemsize
        self.slot_bytes = slot_bytes(self.bytes_per_token, tokens)
        self._memory = BackedSlots(slots, self.slot_bytes) if backed else None
        flat = (
            torch.zeros(slots * self.slot_bytes, dtype=torch.uint8, device=device)
            if self._memory is None
            else self._memory.tensor()
        )
        inside = (config.num_layers, 2, config.num_kv_heads, tokens, config.head_dim)
        each = flat.view(slots, -1)[:, : tokens * self.bytes_per_token].view(dtype)
        apart = (slots, *inside)
        self._slab: Tensor = each.view(apart).permute(1, 2, 0, 3, 4, 5)
        self._slots = slots
        self._touched = [0] * slots
        self.tokens = tokens
        self.layers = tuple(self._slab)

    @property
    def nbytes(self) -> int:
        """Bytes of token positions in use, now or since the slab was last empty."""
        return sum(self._touched) * self.bytes_per_token

    @property
    def reserved_bytes(self) -> int:
        """Bytes of device memory allocated now."""
        return self.slot_bytes * (self._slots if self._memory is None else self._memory.held)

    def hold(self, slots: int) -> None:
        """Map memory for the first ``slots``, which are or will be used. No work in progress on the
        device may use the others."""
        if self._memory is not None:
            self._memory.hold(max(slots, 1))

    def give_back(self, slots: int) -> None:
        """Unmap all but the first ``slots`` after the device has finished its queued work."""
        if self._memory is not None and self._memory.held > max(slots, 1):
            torch.cuda.synchronize()
            self._memory.hold(max(slots, 1))

    def touch(self, slot: int, tokens: int) -> None:
        """Record that the first ``tokens`` of a slot were written."""
        self._touched[slot] = max(self._touched[slot], tokens)

    def move(self, source: int, target: int, tokens: int) -> None:
        """Copy the first ``tokens`` of slot ``source`` to slot ``target``."""
        used = self._slab[..., :tokens, :]
        used[:, :, target].copy_(used[:, :, source])
        self.touch(target, tokens)

    def take(self, slot: int, tokens: int) -> Tensor:
        """Return a host copy of a slot's first ``tokens``: (layers, 2, kv heads, tokens,
        head_dim)."""
        return self._slab[:, :, slot, :, :tokens].clone().cpu()

    def put(self, slot: int, kv: Tensor) -> None:
        """Store in a slot what :meth:`take` returned, on this engine or another."""
        self._slab[:, :, slot, :, : kv.shape[3]].copy_(kv)

    def swap(self, first: int, second: int, tokens: int) -> None:
        """Exchange the first ``tokens`` of two slots."""
        exchange(self._slab[..., :tokens, :], first, second)
        self.touch(first, tokens)
        self.touch(second, tokens)

    def release(self) -> None:
        """Mark all slots as unused; their contents are never read again."""
        self._touched = [0] * len(self._touched)
