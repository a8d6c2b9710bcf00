"""A user of its own for each process, where the platform is root.

The kernel then keeps processes apart as those of different users, whatever the system-call filter
lets through, and bounds the threads of each. The user owns no file and is in no group. So that it
can read libraries and models in folders of root, it keeps one capability, to read any file; which
files these are, Landlock decides before anything of a tenant's is read.
"""

from __future__ import annotations

import os
import signal
from functools import cache
from pathlib import Path

from . import landlock, measures

FIRST = 0x7000_0000
"""Process ids are added; no distribution gives users such numbers."""
_MOST_PIDS = 1 << 22
_READ_ANY_FILE = 2  # CAP_DAC_READ_SEARCH
_NEEDED = (_READ_ANY_FILE, 5, 6, 7)  # CAP_KILL, CAP_SETGID, CAP_SETUID
_KEEP_CAPABILITIES, _PARENT_DEATH_SIGNAL = 8, 1  # linux/prctl.h

THREADS = 64
"""Threads that one process may have besides ``THREADS_PER_CORE``: readers, drivers, libraries."""
THREADS_PER_CORE = 4
"""Thread pools have one thread per core, and a process has several kinds of pools."""


@cache
def available() -> bool:
    """Whether this process can start processes with users of their own, and end them."""
    held = _effective_capabilities()
    able = os.geteuid() == 0 and all(held >> each & 1 for each in _NEEDED)
    return able and landlock.version() > 0 and _are_mapped()


def own() -> int:
    """Return the user of this process once it has one of its own."""
    return FIRST + os.getpid()


def become_one() -> None:
    """Change this process, which has a single thread, to its own user. It keeps dying with its
    parent. Raise ``OSError`` or :class:`ConfinementError`."""
    parent, user = os.getppid(), own()
    measures.prctl(_KEEP_CAPABILITIES, 1)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    measures.keep_capabilities([_READ_ANY_FILE])
    measures.bound_threads(most_threads())
    measures.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)  # a change of user removes it
    if os.getppid() != parent:
        os._exit(0)


def most_threads() -> int:
    return THREADS + THREADS_PER_CORE * (os.cpu_count() or 1)


def _effective_capabilities() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _are_mapped() -> bool:
    """Whether these users exist in the user namespace of this process."""
    return all(_covers(Path(f"/proc/self/{kind}_map")) for kind in ("uid", "gid"))


def _covers(table: Path) -> bool:
    rows = (map(int, line.split()) for line in table.read_text(encoding="ascii").splitlines())
    return any(first <= FIRST and first + count >= FIRST + _MOST_PIDS for first, _, count in rows)
