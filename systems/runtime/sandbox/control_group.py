"""Bounds the host memory of a process by a control group of its own (cgroup v2, Linux 4.5).

A process on a card reserves terabytes of addresses, so ``RLIMIT_AS`` cannot bound it. A process
that exceeds ``memory.max`` is killed by the kernel. It joins its group itself, before Landlock
denies it to write there.
"""

from __future__ import annotations

import contextlib
import os
from functools import cache
from pathlib import Path

from systems.errors import ConfinementError

_NAME = "slbench-"
_TYPE = " - cgroup2 "
_BOUND = "memory.max"


@cache
def available() -> bool:
    """Whether this process can make groups that bound memory."""
    home = _home()
    if home is None:
        return False
    trial = home / f"{_NAME}{os.getpid()}"
    try:
        _make(trial)
        trial.rmdir()
    except OSError:
        return False
    return True


def enter(user: int | None = None) -> None:
    """Move this process to a group of its own, whose bound ``user`` may set (None: its own). What
    it has used so far is not counted. Raise ``OSError`` if that is impossible."""
    group = _own()
    _make(group)
    if user is not None:
        os.chown(group / _BOUND, user, -1)
    (group / "cgroup.procs").write_text("0", encoding="ascii")


def bound(nbytes: int) -> None:
    """Bound the memory of the group that this process has entered."""
    (_own() / _BOUND).write_text(str(nbytes), encoding="ascii")


def remove(pid: int) -> None:
    """Remove the group of a process that has ended, if there is one."""
    home = _home()
    if home is not None:
        with contextlib.suppress(OSError):
            (home / f"{_NAME}{pid}").rmdir()


def sweep() -> None:
    """Remove groups that processes of a platform left that was killed."""
    home = _home()
    for group in home.glob(f"{_NAME}*") if home else ():
        pid = group.name.removeprefix(_NAME)
        if not Path("/proc", pid).exists():
            remove(int(pid))


@cache
def _home() -> Path | None:
    """Return the root of the hierarchy as this process sees it, if it bounds memory."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    for place in (Path(line.split()[4]) for line in lines if _TYPE in line):
        with contextlib.suppress(OSError):
            if "memory" in (place / "cgroup.controllers").read_text(encoding="ascii").split():
                return place
    return None


def _own() -> Path:
    home = _home()
    if home is None:
        raise ConfinementError("no control group (version 2) bounds memory here")
    return home / f"{_NAME}{os.getpid()}"


def _make(group: Path) -> None:
    (group.parent / "cgroup.subtree_control").write_text("+memory", encoding="ascii")
    group.mkdir(exist_ok=True)
    (group / _BOUND).write_text("max", encoding="ascii")
    with contextlib.suppress(FileNotFoundError):  # a machine without swap accounting
        (group / "memory.swap.max").write_text("0", encoding="ascii")
