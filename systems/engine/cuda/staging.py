"""Copies pageable host memory to the device through page-locked buffers.

The driver would copy pageable memory through a buffer of its own on one thread, and the host would
wait for each copy. Here torch's threads fill one buffer while the device reads the other, and small
copies share a buffer: the host waits once a buffer. While other processes compute on the GPU a wait
takes a turn of each of them, which 256 waits for the matrices of one adapter made 1.6 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

PIECE = 16 << 20  # bytes


class Read(Protocol):
    """A CUDA event: when the device has read a buffer."""

    def record(self) -> None: ...

    def synchronize(self) -> None: ...


class Staging:
    """Buffers of host memory, each with the event after which it may be filled again. They are
    filled from start to end, in turn."""

    def __init__(self, buffers: Sequence[Tensor], read: Sequence[Read]) -> None:
        self._buffers, self._read = buffers, read
        self._current = self._used = 0

    def copy(self, target: Tensor, source: Tensor) -> None:
        """Copy bytes from host to device. ``source`` was read when this returns; later launches
        wait for the rest."""
        start = 0
        while start < source.numel():
            room = self._room()
            piece = source[start : start + room.numel()]
            filled = room[: piece.numel()]
            filled.copy_(piece)
            target[start : start + piece.numel()].copy_(filled, non_blocking=True)
            self._read[self._current].record()
            self._used += piece.numel()
            start += piece.numel()

    def _room(self) -> Tensor:
        """Return the rest of the current buffer, or the next one once the device has read it."""
        if self._used == self._buffers[self._current].numel():
            self._current, self._used = (self._current + 1) % len(self._buffers), 0
            self._read[self._current].synchronize()
        return self._buffers[self._current][self._used :]


@cache
def _staging() -> Staging:
    return Staging(
        [torch.empty(PIECE, dtype=torch.uint8, pin_memory=True) for _ in range(2)],
        [torch.cuda.Event() for _ in range(2)],  # type: ignore[no-untyped-call]
    )


def copy_to_device(target: Tensor, source: Tensor) -> None:
    """Copy bytes to ``target``, ordered before later launches on its device."""
    pageable = target.is_cuda and not source.is_cuda and not source.is_pinned()
    if pageable:
        _staging().copy(target, source)
    else:
        target.copy_(source, non_blocking=True)


def moved(source: Tensor, device: torch.device) -> Tensor:
    """Return a copy of ``source`` on ``device``, ordered before later launches there."""
    there = torch.empty(source.shape, dtype=source.dtype, device=device)
    flat = source.contiguous().view(-1)
    copy_to_device(there.view(-1).view(torch.uint8), flat.view(torch.uint8))
    return there
