"""Keys and values on the device: a slot each in one slab, allocated once, since graphs keep its
address. (layers, 2, slots, kv heads, tokens, head_dim): a head's tokens follow one another, which
is how attention reads them."""

from __future__ import annotations

import torch
from torch import Tensor

from systems.engine.config import ModelConfig
from systems.engine.kv_cache import exchange


class SlabCache:
    """Slots 0 … n-1 are those in use. Zeroed once: a masked position must not be NaN."""

    def __init__(
        self, config: ModelConfig, slots: int, tokens: int, dtype: torch.dtype, device: str
    ) -> None:
        shape = (config.num_layers, 2, slots, config.num_kv_heads, tokens, config.head_dim)
        self._slab = torch.zeros(shape, dtype=dtype, device=device)
        self._touched = [0] * slots
        self.tokens = tokens
        self.bytes_per_token = 2 * config.num_layers * config.kv_size * dtype.itemsize
        self.layers = tuple(self._slab)

    @property
    def nbytes(self) -> int:
        """Bytes that hold, or have held since the slab was last empty, a token."""
        return sum(self._touched) * self.bytes_per_token

    @property
    def reserved_bytes(self) -> int:
        """Bytes of device memory held for as long as the slab exists."""
        return self._slab.nbytes

    def touch(self, slot: int, tokens: int) -> None:
        """Account for ``tokens`` of a slot having been written."""
        self._touched[slot] = max(self._touched[slot], tokens)

    def move(self, source: int, target: int, tokens: int) -> None:
        """Put a slot's first ``tokens`` in the place of another's."""
        used = self._slab[..., :tokens, :]
        used[:, :, target].copy_(used[:, :, source])
        self.touch(target, tokens)

    def take(self, slot: int, tokens: int) -> Tensor:
        """A copy on the host of a slot's first ``tokens``: (layers, 2, kv heads, tokens,
        head_dim)."""
        return self._slab[:, :, slot, :, :tokens].clone().cpu()

    def put(self, slot: int, kv: Tensor) -> None:
        """What :meth:`take` gave, here or elsewhere."""
        self._slab[:, :, slot, :, : kv.shape[3]].copy_(kv)

    def swap(self, first: int, second: int, tokens: int) -> None:
        """Exchange the first ``tokens`` of two slots."""
        exchange(self._slab[..., :tokens, :], first, second)
        self.touch(first, tokens)
        self.touch(second, tokens)

    def release(self) -> None:
        """Nothing is in use any more; the memory stays, its contents are never read again."""
        self._touched = [0] * len(self._touched)
