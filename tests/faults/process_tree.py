"""The process tree below this process, and the check that nothing of it is left after a stop."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import psutil

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose parent ends, so that none gets lost.
    Raises OSError if the kernel refuses."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


def living() -> list[psutil.Process]:
    """Return all descendants that have not ended."""
    return [each for each in psutil.Process().children(recursive=True) if is_alive(each)]


def is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def command_of(process: psutil.Process) -> str:
    """Return the command line, or "" if the process has ended."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess, FileNotFoundError):
        return ""


def below(pid: int) -> set[int]:
    """Return the process ids of the descendants of a process; none if it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return {each.pid for each in psutil.Process(pid).children(recursive=True)}
    return set()


def templates(gateway: int) -> list[psutil.Process]:
    """Return the templates of a gateway, by their commands: a library that they import may change
    their names."""
    return [each for each in _children(gateway) if "roles zygote" in command_of(each)]


def named(role: str, parent: int) -> list[psutil.Process]:
    """Return the children of a process that run ``role``, the youngest last."""
    return [each for each in _children(parent) if role_of(each.pid) == role]


def _children(parent: int) -> Iterator[psutil.Process]:
    for pid in children_of(parent):
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if is_alive(process):
                yield process


def role_of(pid: int) -> str:
    """Return the role that a process of a platform runs; "" if it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(encoding="ascii", errors="replace").strip()
    return ""


def children_of(pid: int) -> list[int]:
    """Return the children of all threads of a process, by age."""
    found = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in listed.read_text(encoding="ascii").split()]
    return sorted(found)


def leftovers(
    folder: Path, ports: Iterable[int], within_s: float, others: Collection[str] = ()
) -> list[str]:
    """Wait up to ``within_s`` for everything to be released, and return what is left: processes,
    listening ports, named shared memory other than ``others``, files in ``folder``. The kernel
    releases unnamed memory and sockets with their processes."""
    deadline = time.monotonic() + within_s
    while (found := list(_found(folder, ports, others))) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _found(folder: Path, ports: Iterable[int], others: Collection[str]) -> Iterator[str]:
    for process in living():
        yield f"process {process.pid}: {command_of(process)[-60:]}"
    for port in ports:
        if _answers(port):
            yield f"port {port}"
    for name in os.listdir("/dev/shm"):
        if name != FILLER and name not in others:
            yield f"/dev/shm/{name}"
    for path in folder.iterdir():
        if path.name != FILLER:
            yield f"file {path.name}"


FILLER = "filler"
"""Name of the file that fills up a file system."""


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def end_all(folder: Path) -> None:
    """Kill all descendants and delete their files, so that the next moment starts clean."""
    for process in living():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(living(), timeout=5)
    for path in folder.iterdir():
        if path.name != FILLER:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
