"""How the client's processes start, talk and end: none outlives its parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import sys
from collections.abc import Mapping

_PR_SET_PDEATHSIG = 1
_SYS_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
_SLICE_NS = 100_000
_NICENESS = -10

ENVIRONMENT: Mapping[str, str] = {
    # One core is plenty for what these processes ask of pyarrow and numpy; threads of theirs
    # would only take the processor from the system under test.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
}


def end_with_parent(parent: int) -> None:
    """Ask the kernel for SIGTERM when the process ``parent`` ends; ends at once if it has."""
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
    """Ask to be scheduled soon after waking rather than for long: a short slice, which the kernel
    grants anyone since 6.12, and a higher priority where we are allowed one. Where neither is
    granted the client is as late as it measures itself to be."""
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
    """Ask to run the moment there is something to do, before every ordinary process
    (SCHED_RR, sched(7)); where that is not allowed, as ``run_promptly``. For a process that uses
    microseconds at a time: what it takes, the system under test has not."""
    try:
        os.sched_setscheduler(
            0, os.SCHED_RR, os.sched_param(os.sched_get_priority_min(os.SCHED_RR))
        )
    except PermissionError:
        run_promptly()


def command(module: str, *arguments: str) -> list[str]:
    """How to start a module of this package as a child of the calling process."""
    return [sys.executable, "-m", f"{__package__}.{module}", str(os.getpid()), *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, **ENVIRONMENT}
