"""Copies large tensors of host memory on several threads.

One thread also takes the page faults of a memory file that was just mapped, and copies several
times more slowly than a device reads. Threads of torch's own would do it, but there is one of them
in processes that share a machine, since its pool spins between uses.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from torch import Tensor

THREADS = 4
LEAST = 1 << 20
"""Bytes that are worth another thread."""


def copy_on_host(target: Tensor, source: Tensor) -> None:
    """Copy the bytes of ``source``; both are flat and as long as each other."""
    size = target.numel()
    threads = min(_threads(), size // LEAST)
    if threads <= 1:
        target.copy_(source)
        return
    step = -(-size // threads)
    parts = [slice(start, start + step) for start in range(0, size, step)]
    rest = [_pool().submit(target[part].copy_, source[part]) for part in parts[1:]]
    target[parts[0]].copy_(source[parts[0]])
    for each in rest:
        each.result()


def _threads() -> int:
    return min(THREADS, len(os.sched_getaffinity(0)))


@cache
def _pool() -> ThreadPoolExecutor:
    """Return the threads beside the one that asks; the executor starts each when it is needed."""
    return ThreadPoolExecutor(THREADS - 1, "copy")
