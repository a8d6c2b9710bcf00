"""Copies host memory on several threads.

One thread also takes the page faults of a memory file that was just mapped, and copies several
times more slowly than a device reads. Threads of torch's own would do it, but there is one of them
in processes that share a machine, since its pool spins between uses.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from torch import Tensor

THREADS = 4
LEAST = 1 << 20
"""Bytes that are worth another thread."""

Copy = tuple[Tensor, Tensor]
"""Target and source, flat bytes, as long as each other."""


def copy_on_host(copies: Sequence[Copy]) -> None:
    """Make all ``copies``."""
    size = sum(target.numel() for target, _ in copies)
    threads = min(THREADS, len(os.sched_getaffinity(0)), size // LEAST)
    if threads <= 1:
        _make(copies)
        return
    first, *others = _shared_out(copies, -(-size // threads))
    waiting = [_pool().submit(_make, share) for share in others]
    _make(first)
    for each in waiting:
        each.result()


def _make(copies: Iterable[Copy]) -> None:
    for target, source in copies:
        target.copy_(source)


def _shared_out(copies: Iterable[Copy], most: int) -> Iterator[list[Copy]]:
    """Divide ``copies`` into shares of ``most`` bytes; the last may have fewer."""
    share: list[Copy] = []
    room = most
    for target, source in copies:
        start = 0
        while start < target.numel():
            part = slice(start, start + room)
            share.append((target[part], source[part]))
            taken = share[-1][0].numel()
            start, room = start + taken, room - taken
            if not room:
                yield share
                share, room = [], most
    if share:
        yield share


@cache
def _pool() -> ThreadPoolExecutor:
    """Return the threads beside the one that asks; the executor starts each when it is needed."""
    return ThreadPoolExecutor(THREADS - 1, "copy")
