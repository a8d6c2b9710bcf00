"""Exhaust a resource of the platform: descriptors, address space, disk or shared memory."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from . import process_tree
from .fault import Fault, Inflict, MissedError, Undo
from .signals import RESTARTS_S
from .stage import Stage

SERVED = frozenset({"http_500", "http_502", "http_503", "error_event"})
UNREACHABLE = frozenset({"refused", "cut"})


def limit(number: int, value: Callable[[psutil.Process], int], role: str) -> Inflict:
    """Lower a soft resource limit of a process until the fault is undone."""

    async def inflict(stage: Stage, random: np.random.Generator) -> Undo:
        found = {"gateway": stage.gateways, "instance": stage.instances}[role]()
        if not found:
            raise MissedError(f"no {role}")
        process = found[int(random.integers(len(found)))]
        before = _limit(process, number, value(process))

        def undo() -> None:
            if process_tree.is_alive(process):
                _limit(process, number, before)

        return undo

    return inflict


def _limit(process: psutil.Process, number: int, soft: int) -> int:
    """Set a soft limit of a process; return what it was. Only its user may, if this one lacks
    ``CAP_SYS_RESOURCE``, so a child becomes that user."""
    uid, gid = process.uids().real, process.gids().real
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            if uid != os.getuid():
                os.setresgid(gid, gid, gid)
                os.setresuid(uid, uid, uid)
            before, most = resource.prlimit(process.pid, number)
            resource.prlimit(process.pid, number, (soft, most))
            os.write(writer, str(before).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, encoding="ascii") as pipe:
        told = pipe.read()
    os.waitpid(pid, 0)
    return int(told)


def _address_space(process: psutil.Process) -> int:
    return int(process.memory_info().vms) + (1 << 20)


def fill(folder: Path) -> Undo:
    """Fill the file system of ``folder``, which must be a small separate one."""
    filler = folder / process_tree.FILLER
    with filler.open("wb", buffering=0) as file:
        size = 1 << 16
        while size:
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                pass
            size >>= 1
    return filler.unlink


def full_disk() -> Inflict:
    async def inflict(stage: Stage, random: np.random.Generator) -> Undo:
        return fill(stage.folder)

    return inflict


async def _nothing(stage: Stage, random: np.random.Generator) -> None:
    """Do nothing: ``prepare`` injected the fault before the platform started."""


def faults() -> list[Fault]:
    return [
        Fault(
            "no descriptors left to the gateway",
            limit(resource.RLIMIT_NOFILE, lambda _: 3, "gateway"),
            SERVED | UNREACHABLE,
            60,
            pause_s=1.5,
        ),
        Fault(
            "no descriptors left as functions start",
            limit(resource.RLIMIT_NOFILE, lambda _: 3, "gateway"),
            SERVED | UNREACHABLE,
            RESTARTS_S,
            cold=True,
            pause_s=1.5,
        ),
        Fault(
            "no memory left to the gateway",
            limit(resource.RLIMIT_AS, _address_space, "gateway"),
            SERVED | UNREACHABLE,
            60,
            pause_s=1.5,
        ),
        Fault(
            "no memory left to an instance",
            limit(resource.RLIMIT_AS, _address_space, "instance"),
            SERVED,
            60,
            pause_s=1.5,
        ),
        Fault(
            "no memory file can be made",
            limit(resource.RLIMIT_FSIZE, lambda _: 1, "gateway"),
            SERVED,
            RESTARTS_S,
            cold=True,
            pause_s=1.5,
        ),
    ]


def faults_of_file_systems() -> list[Fault]:
    """Return the faults that need small mounted file systems."""
    return [
        Fault("disk full", full_disk(), frozenset(), 60, pause_s=1.5),
        Fault(
            "disk full as it starts", full_disk(), frozenset(), RESTARTS_S, cold=True, pause_s=1.5
        ),
        Fault(
            "/dev/shm full",
            _nothing,
            frozenset(),
            RESTARTS_S,
            cold=True,
            prepare=lambda _: fill(Path("/dev/shm")),
        ),
    ]


def mount_small(folder: Path, size: str) -> None:
    """Mount a tmpfs at ``folder``; it ends with the mount namespace. Raises OSError on failure."""
    folder.mkdir(parents=True, exist_ok=True)
    status = os.spawnlp(
        os.P_WAIT, "mount", "mount", "-t", "tmpfs", "-o", f"size={size}", "slbench", str(folder)
    )
    if status:
        raise OSError(f"no file system could be mounted at {folder}")
