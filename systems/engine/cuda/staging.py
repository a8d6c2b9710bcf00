"""Copies pageable host memory to the device through page-locked buffers.

The driver would copy pageable memory through a buffer of its own on one thread, and the host would
wait for each copy. Here some threads fill one buffer while the device reads the other, and many
tensors share a buffer and a copy. While other processes compute on the GPU, a wait of the host, and
each change from copying to computing, takes a turn of each of them: 256 of those for the matrices
of one adapter made 1.6 s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import accumulate
from typing import Protocol

import torch
from torch import Tensor

from .host_copy import Copy, copy_on_host

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

    def copy(self, target: Tensor, sources: Iterable[Tensor]) -> None:
        """Copy the bytes of ``sources``, one after another, to the device. They were read when this
        returns; later launches wait for the rest."""
        sent = 0
        for filled in self._filled(sources):
            target[sent : sent + filled.numel()].copy_(filled, non_blocking=True)
            self._read[self._current].record()
            sent += filled.numel()

    def _filled(self, sources: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield parts of buffers that together hold the sources: full ones, and the last."""
        room, filled = self._room(), 0
        copies: list[Copy] = []
        for source in sources:
            start = 0
            while start < source.numel():
                if filled == room.numel():
                    yield self._taken(room, filled, copies)
                    room, filled, copies = self._room(), 0, []
                piece = source[start : start + room.numel() - filled]
                copies.append((room[filled : filled + piece.numel()], piece))
                filled += piece.numel()
                start += piece.numel()
        if filled:
            yield self._taken(room, filled, copies)

    def _taken(self, room: Tensor, filled: int, copies: Sequence[Copy]) -> Tensor:
        copy_on_host(copies)
        self._used += filled
        return room[:filled]

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


def copy_to_device(target: Tensor, *sources: Tensor) -> None:
    """Copy the bytes of ``sources``, one after another, to ``target``, ordered before later
    launches on its device."""
    if target.is_cuda and not any(source.is_cuda or source.is_pinned() for source in sources):
        _staging().copy(target, sources)
        return
    for part, source in zip(_parts(target, sources), sources, strict=True):
        part.copy_(source, non_blocking=True)


def _parts(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Divide ``flat`` into parts as long as the tensors ``like``."""
    stops = list(accumulate(len(each) for each in like))
    return [flat[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]


def moved(groups: Sequence[Sequence[Tensor]], device: torch.device) -> list[Tensor]:
    """Return each group of host tensors of one shape and dtype as a stack on ``device``, (tensors,
    …), ordered before later launches there."""
    # The widest first, so that each begins at a multiple of its element's size.
    order = sorted(range(len(groups)), key=lambda index: -groups[index][0].element_size())
    sizes = [sum(each.nbytes for each in groups[index]) for index in order]
    flat = torch.empty(sum(sizes), dtype=torch.uint8, device=device)
    copy_to_device(flat, *(_bytes(each) for index in order for each in groups[index]))
    stacks = dict(zip(order, torch.split(flat, sizes), strict=True))
    return [
        stacks[index].view(group[0].dtype).view(len(group), *group[0].shape)
        for index, group in enumerate(groups)
    ]


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.contiguous().view(-1).view(torch.uint8)
