"""Start, priority and end of the client's processes. None of them outlives its parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import sys
from collections.abc import Collection, Mapping

_PR_SET_PDEATHSIG = 1
_SYS_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
_SLICE_NS = 100_000
_NICENESS = -10

ENVIRONMENT: Mapping[str, str] = {
    # These processes need one core for pyarrow and numpy; their threads would only take processor
    # time from the system under test.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
}


def end_with_parent(parent: int) -> None:
    """Ask the kernel for SIGTERM when process ``parent`` ends; exit if it already has."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if os.getppid() != parent:
        sys.exit(128 + signal.SIGTERM)


class _SchedulingAttributes(ctypes.Structure):
    """``struct sched_attr`` of sched_setattr(2), its first version."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


def run_promptly() -> None:
    """Ask for a low scheduling latency: a short slice, which any process may request since Linux
    6.12, and a higher priority if permitted. If neither is granted, the measured lateness shows it.
    """
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
    number = _SYS_SCHED_SETATTR.get(platform.machine())
    if number is None:
        return
    asked = _SchedulingAttributes(
        size=ctypes.sizeof(_SchedulingAttributes),
        nice=os.getpriority(os.PRIO_PROCESS, 0),
        runtime=_SLICE_NS,
    )
    ctypes.CDLL(None).syscall(number, 0, ctypes.byref(asked), 0)


def preempt_others() -> None:
    """Ask to run before every ordinary process as soon as there is work (SCHED_RR, sched(7)); fall
    back to ``run_promptly`` if not permitted. Only for a process that runs microseconds at a time,
    because it takes this time from the system under test."""
    try:
        os.sched_setscheduler(
            0, os.SCHED_RR, os.sched_param(os.sched_get_priority_min(os.SCHED_RR))
        )
    except PermissionError:
        run_promptly()


def pin(cores: Collection[int]) -> None:
    """Run this process and those that it starts on ``cores`` only; without any, as before."""
    if cores:
        os.sched_setaffinity(0, cores)


def command(module: str, *arguments: str) -> list[str]:
    """Return the command that starts a module of this package as a child of this process."""
    return [sys.executable, "-m", f"{__package__}.{module}", str(os.getpid()), *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, **ENVIRONMENT}
