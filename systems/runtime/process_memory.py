"""Memory of processes, from the kernel's counters. A value that cannot be read is None, never 0."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_PAGE = os.sysconf("SC_PAGE_SIZE")


def anonymous_bytes(pid: int) -> int | None:
    """Return the resident memory of a process that no file backs. Pages that a fork has not copied
    yet count for both parent and child. None if the process has ended."""
    try:
        resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
    except (OSError, ValueError):
        return None
    return (int(resident) - int(shared)) * _PAGE


class Shares(NamedTuple):
    """Bytes of a process: proportional (PSS) and unique (USS, private pages) set size."""

    pss: int
    uss: int


def shares(pid: int) -> Shares | None:
    """Return the kernel's sums over all mappings; None if they cannot be read. The kernel walks all
    page tables of the process, which takes it milliseconds per GB."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        # After a line for the range of addresses: "Pss:      1234 kB" and so on.
        size = {name: int(kilo) * 1024 for name, kilo, _ in map(str.split, lines[1:])}
        return Shares(size["Pss:"], size["Private_Clean:"] + size["Private_Dirty:"])
    except (OSError, ValueError, KeyError):
        return None


def shares_of_all(pids: Iterable[int]) -> Shares | None:
    """Return the sums over the processes that can be read; None if none can."""
    found = [each for each in map(shares, pids) if each is not None]
    if not found:
        return None
    return Shares(sum(each.pss for each in found), sum(each.uss for each in found))
