"""The KV cache of the running sequences: one slot per sequence in one slab.

The slab is an anonymous mapping: pages that were never written take no memory and read as zeros
(a masked position must not be NaN), and unused pages are returned to the kernel.
"""

from __future__ import annotations

import mmap

import torch
from torch import Tensor

from .config import ModelConfig


class KVCache:
    """Slots 0 … n-1 are in use. Shape per layer: (2, slots, kv heads, tokens, head_dim)."""

    def __init__(
        self, config: ModelConfig, slots: int, tokens: int, dtype: torch.dtype = torch.float32
    ) -> None:
        shape = (config.num_layers, 2, slots, config.num_kv_heads, tokens, config.head_dim)
        self.bytes_per_token = 2 * config.num_layers * config.kv_size * dtype.itemsize
        self.tokens = tokens
        self._heads = config.num_kv_heads
        self._memory = mmap.mmap(
            -1, slots * tokens * self.bytes_per_token, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        )
        slab = torch.frombuffer(self._memory, dtype=dtype).view(shape)
        self._slab, self._layers = slab, tuple(slab)
        self._rows = tuple(layer.view(-1, config.head_dim) for layer in self._layers)
        # The heads of a slot are contiguous, so products treat slots and heads as one dimension.
        heads_of_slots = slab.flatten(2, 3)
        self._keys, self._values = heads_of_slots[:, 0], heads_of_slots[:, 1]
        slot_rows = config.num_kv_heads * tokens
        heads = torch.arange(config.num_kv_heads) * tokens
        self._head_rows = torch.cat((heads, heads + slots * slot_rows))
        self._slot_rows = torch.arange(slots) * slot_rows
        self._touched = [0] * slots

    @property
    def nbytes(self) -> int:
        """Bytes of token positions in use, now or since the slab was last empty."""
        return sum(self._touched) * self.bytes_per_token

    def write_prompt(self, layer: int, slot: int, kv: Tensor) -> None:
        """Store a prompt from position 0; ``kv``: (tokens, 2, kv heads, head_dim)."""
        self._layers[layer][:, slot, :, : kv.shape[0]].copy_(kv.permute(1, 2, 0, 3))

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

    def touch(self, slot: int, tokens: int) -> None:
        """Record that the first ``tokens`` of a slot were written."""
        self._touched[slot] = max(self._touched[slot], tokens)

    def move(self, source: int, target: int, tokens: int) -> None:
        """Copy the first ``tokens`` of slot ``source`` to slot ``target``."""
        for layer in self._layers:
            layer[:, target, :, :tokens].copy_(layer[:, source, :, :tokens])
        self.touch(target, tokens)

    def take(self, slot: int, tokens: int) -> Tensor:
        """Return a copy of a slot's first ``tokens``: (layers, 2, kv heads, tokens, head_dim)."""
        return self._slab[:, :, slot, :, :tokens].clone()

    def put(self, slot: int, kv: Tensor) -> None:
        """Store in a slot what :meth:`take` returned, on this engine or another."""
        self._slab[:, :, slot, :, : kv.shape[3]].copy_(kv)

    def swap(self, first: int, second: int, tokens: int) -> None:
        """Exchange the first ``tokens`` of two slots."""
        exchange(self._slab[..., :tokens, :], first, second)
        self.touch(first, tokens)
        self.touch(second, tokens)

    def release(self) -> None:
        """Return all pages to the kernel; the slab reads as zeros again."""
        self._memory.madvise(mmap.MADV_DONTNEED)
        self._touched = [0] * len(self._touched)


def exchange(slab: Tensor, first: int, second: int) -> None:
    """Swap two slots of ``slab`` (layers, 2, slots, …) in place."""
    for layer in slab:
        kept = layer[:, first].clone()
        layer[:, first].copy_(layer[:, second])
        layer[:, second].copy_(kept)
