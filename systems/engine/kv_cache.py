"""The KV cache of the running sequences on the CPU.

The slab is an anonymous mapping: pages that were never written take no memory and read as zeros,
and all pages are returned to the kernel when no request runs.
"""

from __future__ import annotations

import mmap

import torch
from torch import Tensor

from .config import ModelConfig
from .slots import Slots


class KVCache(Slots):
    """Slots 0 … n-1 are in use. Shape per layer: (2, slots, kv heads, tokens, head_dim)."""

    def __init__(
        self, config: ModelConfig, slots: int, tokens: int, dtype: torch.dtype = torch.float32
    ) -> None:
        shape = (config.num_layers, 2, slots, config.num_kv_heads, tokens, config.head_dim)
        bytes_per_token = 2 * config.num_layers * config.kv_size * dtype.itemsize
        self._memory = mmap.mmap(
            -1, slots * tokens * bytes_per_token, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        )
        slab = torch.frombuffer(self._memory, dtype=dtype).view(shape)
        super().__init__(slab, slots, bytes_per_token)
        self._heads = config.num_kv_heads
        self._rows = tuple(layer.view(-1, config.head_dim) for layer in self.layers)
        # The heads of a slot are contiguous, so products treat slots and heads as one dimension.
        heads_of_slots = slab.flatten(2, 3)
        self._keys, self._values = heads_of_slots[:, 0], heads_of_slots[:, 1]
        slot_rows = config.num_kv_heads * tokens
        heads = torch.arange(config.num_kv_heads) * tokens
        self._head_rows = torch.cat((heads, heads + slots * slot_rows))
        self._slot_rows = torch.arange(slots) * slot_rows

    def write_piece(self, layer: int, slot: int, start: int, kv: Tensor) -> None:
        """Store a piece of a prompt from position ``start``; ``kv``: (tokens, 2, kv heads,
        head_dim)."""
        piece = self.layers[layer][:, slot, :, start : start + kv.shape[0]]
        piece.copy_(kv.permute(1, 2, 0, 3))

    def read_slot(self, layer: int, slot: int, tokens: int) -> Tensor:
        """Return a slot's first ``tokens``: (2, kv heads, tokens, head_dim)."""
        return self.layers[layer][:, slot, :, :tokens]

    def rows_at(self, positions: Tensor) -> Tensor:
        """For slots 0 … n-1, return the rows that store keys and values of the tokens at
        ``positions`` (n,): an index for :meth:`write_step`, the same in every layer."""
        return (self._slot_rows[: len(positions)] + positions)[:, None] + self._head_rows

    def write_step(self, layer: int, rows: Tensor, kv: Tensor) -> None:
        """Store one token per slot; ``kv``: (n, 2·kv heads, head_dim)."""
        self._rows[layer].index_put_((rows,), kv)

    def read(self, slots: int, tokens: int) -> tuple[tuple[Tensor, Tensor], ...]:
        """Return for every layer the keys (slots·kv heads, head_dim, tokens), transposed for their
        product, and values (slots·kv heads, tokens, head_dim) of the first slots and tokens."""
        heads = slots * self._heads
        keys = self._keys[:, :heads, :tokens].transpose(2, 3)
        return tuple(zip(keys.unbind(), self._values[:, :heads, :tokens].unbind(), strict=True))

    def release(self) -> None:
        """Return all pages to the kernel; the slab reads as zeros again."""
        self._memory.madvise(mmap.MADV_DONTNEED)
        self._used = [0] * len(self._used)
