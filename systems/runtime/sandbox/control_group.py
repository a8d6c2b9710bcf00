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
_BOUND, _CONTROL = "memory.max", "cgroup.subtree_control"


@cache
def available() -> bool:
    """Whether this process can make groups that bound memory."""
    return _home() is not None


def enter() -> None:
    """Move this process to a group of its own. What it has used so far is not counted. Raise
    ``OSError`` if that is impossible."""
    group = of(os.getpid())
    group.mkdir(exist_ok=True)
    with contextlib.suppress(FileNotFoundError):  # a machine that does not count swap
        (group / "memory.swap.max").write_text("0", encoding="ascii")
    (group / "cgroup.procs").write_text("0", encoding="ascii")


def bound(nbytes: int) -> None:
    """Bound the memory of the group that this process has entered."""
    (of(os.getpid()) / _BOUND).write_text(str(nbytes), encoding="ascii")


def remove(pid: int) -> None:
    """Remove the group of a process that has ended, if there is one."""
    if available():
        with contextlib.suppress(OSError):
            of(pid).rmdir()


def sweep() -> None:
    """Remove groups that processes left whose platform was killed."""
    home = _home()
    for group in home.glob(f"{_NAME}*") if home else ():
        pid = group.name.removeprefix(_NAME)
        if pid.isdecimal() and not Path("/proc", pid).exists():
            remove(int(pid))


def of(pid: int) -> Path:
    """Return the group of a process that has entered one."""
    home = _home()
    if home is None:
        raise ConfinementError("no control group (version 2) bounds memory here")
    return home / f"{_NAME}{pid}"


@cache
def _home() -> Path | None:
    """Return the group below which groups are made: that of this process, or else its parent, since
    a group that has processes cannot have groups that bound memory (except the root)."""
    own = _own()
    candidates = () if own is None else (own, own.parent)
    return next((place for place in candidates if _bounds_memory(place)), None)


def _bounds_memory(place: Path) -> bool:
    trial = place / f"{_NAME}trial-{os.getpid()}"
    try:
        if "memory" not in (place / _CONTROL).read_text(encoding="ascii").split():
            (place / _CONTROL).write_text("+memory", encoding="ascii")
        trial.mkdir()
        found = (trial / _BOUND).exists()
        trial.rmdir()
    except OSError:
        return False
    return found


def _own() -> Path | None:
    """Return the group of this process in the hierarchy of version 2; None if there is none."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    groups = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    mounts = [line.split()[4] for line in lines if _TYPE in line]
    inside = [line.removeprefix("0::/") for line in groups if line.startswith("0::/")]
    return Path(mounts[0], inside[0]) if mounts and inside else None
