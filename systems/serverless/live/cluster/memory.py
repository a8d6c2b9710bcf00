"""Memory of an agent's processes, from the kernel's counters."""

from __future__ import annotations

from typing import NamedTuple

import psutil

EVERY_S = 4.0
"""Interval of reading. A read walks all page tables of the tree, which takes the instances
milliseconds per gigabyte."""


class NodeMemory(NamedTuple):
    """Proportional and unique set size of a process tree, in bytes; None if unknown."""

    pss_bytes: int | None
    uss_bytes: int | None


def read_memory(root: int) -> NodeMemory:
    """Return the memory of the process ``root`` and all its descendants."""
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
