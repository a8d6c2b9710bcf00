"""Copies pageable host memory to the device through page-locked buffers.

The driver would copy pageable memory through a buffer of its own on one thread. Here torch's
threads fill one buffer while the device reads the other.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

PIECE = 4 << 20  # bytes


class Staging:
    """Two page-locked buffers, used in turn."""

    def __init__(self) -> None:
        self._buffers = [torch.empty(PIECE, dtype=torch.uint8, pin_memory=True) for _ in range(2)]
        self._read = [torch.cuda.Event() for _ in self._buffers]  # type: ignore[no-untyped-call]

    def copy(self, target: Tensor, source: Tensor) -> None:
        """Copy bytes from host to device. ``source`` was read when this returns; later launches
        wait for the rest."""
        for index, start in enumerate(range(0, source.numel(), PIECE)):
            buffer, read = self._buffers[index % 2], self._read[index % 2]
            piece = source[start : start + PIECE]
            read.synchronize()
            buffer[: piece.numel()].copy_(piece)
            target[start : start + PIECE].copy_(buffer[: piece.numel()], non_blocking=True)
            read.record()


@cache
def _staging() -> Staging:
    return Staging()


def copy_to_device(target: Tensor, source: Tensor) -> None:
    """Copy bytes to ``target``, ordered before later launches on its device."""
    pageable = target.is_cuda and not source.is_cuda and not source.is_pinned()
    if pageable:
        _staging().copy(target, source)
    else:
        target.copy_(source, non_blocking=True)
