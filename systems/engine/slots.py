"""The slots of a KV cache: one per running request, in one slab.

A position that no running request uses reads as zeros. So a value of a request that has ended, NaN
included, reaches no later request, whoever sent it: a masked position gets weight zero, but zero
times NaN is NaN.
"""

from __future__ import annotations

import torch
from torch import Tensor

_LAYERS_SWAPPED = 4
"""Fewer take longer to launch, more take more memory: each 8 MiB, of 512 tokens of a 7B model."""


class Slots:
    """Slots 0 … n-1 are in use. ``slab``: (layers, 2, slots, kv heads, tokens, head_dim), initially
    zeros. All work on a device is queued, nothing waits for it."""

    def __init__(self, slab: Tensor, slots: int, bytes_per_token: int) -> None:
        self.bytes_per_token = bytes_per_token
        self.tokens = slab.shape[4]
        self.layers: tuple[Tensor, ...] = tuple(slab)
        self._slab = slab
        self._used = [0] * slots

    @property
    def nbytes(self) -> int:
        """Bytes of the token positions in use."""
        return sum(self._used) * self.bytes_per_token

    def hold(self, slots: int) -> None:
        """Called before the first ``slots`` are used, for caches that map memory on demand."""

    def touch(self, slot: int, tokens: int) -> None:
        """Record that the first ``tokens`` of a slot are used."""
        self._used[slot] = tokens

    def clear(self, slot: int) -> None:
        """Set the used positions of a slot to zero; they are free then."""
        self._zero(slot, 0)

    def move(self, source: int, target: int) -> None:
        """Move the contents of slot ``source`` to slot ``target``, and clear ``source``."""
        tokens = self._used[source]
        used = self._slab[..., :tokens, :]
        used[:, :, target].copy_(used[:, :, source])
        self._zero(target, tokens)
        self._used[target] = tokens
        self.clear(source)

    def swap(self, first: int, second: int) -> None:
        """Exchange the contents of two slots, a few layers at once."""
        used = self._used
        slab = self._slab[..., : max(used[first], used[second]), :]
        for layers in torch.split(slab, _LAYERS_SWAPPED):
            kept = layers[:, :, first].clone()
            layers[:, :, first].copy_(layers[:, :, second])
            layers[:, :, second].copy_(kept)
        used[first], used[second] = used[second], used[first]

    def take(self, slot: int, tokens: int) -> Tensor:
        """Return a host copy of a slot's first ``tokens``: (layers, 2, kv heads, tokens,
        head_dim)."""
        return self._slab[:, :, slot, :, :tokens].clone().cpu()

    def put(self, slot: int, kv: Tensor) -> None:
        """Store in a free slot what :meth:`take` returned, on this engine or another."""
        self._slab[:, :, slot, :, : kv.shape[3]].copy_(kv)
        self.touch(slot, kv.shape[3])

    def release(self) -> None:
        """Clear all slots."""
        for slot in range(len(self._used)):
            self.clear(slot)

    def _zero(self, slot: int, start: int) -> None:
        """Set the used positions from ``start`` on to zero."""
        if self._used[slot] > start:
            self._slab[:, :, slot, :, start : self._used[slot]].zero_()
        self._used[slot] = min(self._used[slot], start)
