"""How the client's processes start, talk and end: none outlives its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping

_PR_SET_PDEATHSIG = 1

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


def command(module: str, *arguments: str) -> list[str]:
    """How to start a module of this package as a child of the calling process."""
    return [sys.executable, "-m", f"{__package__}.{module}", str(os.getpid()), *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, **ENVIRONMENT}
