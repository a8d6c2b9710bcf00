"""The KV cache on the device: one slot per request at fixed addresses, as graphs need.

A slot holds a full context, (layers, 2, kv heads, tokens, head_dim); the tokens of a head are
contiguous, in the order in which attention reads them. If the device can map memory in pieces, a
slot has memory from its first use until its engine gives it back.
"""

from __future__ import annotations

import torch
from torch import Tensor

from systems.engine.config import ModelConfig
from systems.engine.slots import Slots

from .buckets import slot_bytes
from .virtual import BackedSlots


class SlabCache(Slots):
    """Slots 0 … n-1 are in use. ``backed``: memory is mapped per slot, which requires operations
    that do not touch the slots of padding; otherwise all memory is allocated, and ``layers`` has
    one more slot, the last, for what such operations store of padding."""

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
        bytes_per_token = 2 * config.num_layers * config.kv_size * dtype.itemsize
        self.slot_bytes = slot_bytes(bytes_per_token, tokens)
        self._memory = BackedSlots(slots, self.slot_bytes) if backed else None
        self._flat = self._all(slots, device).view(-1, self.slot_bytes)
        inside = (config.num_layers, 2, config.num_kv_heads, tokens, config.head_dim)
        each = self._flat[:, : tokens * bytes_per_token].view(dtype).view(-1, *inside)
        super().__init__(each.permute(1, 2, 0, 3, 4, 5), slots, bytes_per_token)
        if self._memory is None:
            self._flat.zero_()
        else:
            self._memory.give_back(0)  # which the addresses of the tensor were checked with

    def _all(self, slots: int, device: str) -> Tensor:
        if self._memory is not None:
            return self._memory.tensor()
        return torch.empty((slots + 1) * self.slot_bytes, dtype=torch.uint8, device=device)

    @property
    def held(self) -> int:
        """The number of slots that have memory."""
        return len(self._flat) if self._memory is None else self._memory.held

    @property
    def reserved_bytes(self) -> int:
        """Bytes of device memory allocated now."""
        return self.slot_bytes * self.held

    def hold(self, slots: int) -> None:
        """Map memory for the first ``slots``, which are or will be used; new memory is set to
        zero."""
        if self._memory is not None:
            before = self._memory.held
            try:
                self._memory.hold(slots)
            finally:
                self._flat[before : self._memory.held].zero_()

    def give_back(self, slots: int) -> None:
        """Unmap all but the first ``slots`` after the device has finished its queued work."""
        if self._memory is not None and self._memory.held > slots:
            torch.cuda.synchronize()
            self._memory.give_back(slots)
