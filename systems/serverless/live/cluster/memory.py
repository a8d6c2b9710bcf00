"""What an agent's processes hold of their machine's memory, as the kernel tells it."""

from __future__ import annotations

from typing import NamedTuple

import psutil

EVERY_S = 4.0
"""Reading walks every page table of the tree: milliseconds a gigabyte, taken from its instances."""


class NodeMemory(NamedTuple):
    """Proportional and unique set size of a tree of processes, in bytes; None where the kernel
    does not tell."""

    pss_bytes: int | None
    uss_bytes: int | None


def read_memory(root: int) -> NodeMemory:
    """Of a process and all below it."""
    try:
        family = [psutil.Process(root), *psutil.Process(root).children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    found = [each for each in map(_shares, family) if each is not None]
    if not found:
        return NodeMemory(None, None)
    return NodeMemory(sum(pss for pss, _ in found), sum(uss for _, uss in found))


def _shares(process: psutil.Process) -> tuple[int, int] | None:
    try:
        held = process.memory_full_info()
    except psutil.Error:
        return None
    return int(held.pss), int(held.uss)
