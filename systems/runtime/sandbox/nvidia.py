"""What the driver of an NVIDIA GPU needs inside the sandbox.

Found on an H100 (driver 580): without write and truncate below ``/proc/self``, where the driver
names its threads, a context ends in error 304. Where it cannot write its cache below ``~/.nv``, it
compiles code again in each process, for half a second. ``python -m tests.gpu.confinement`` prints
what a driver opens and calls.
"""

from __future__ import annotations

import os
from pathlib import Path

from systems.engine.cuda import kernel_folder

from . import landlock

_READ = (
    "/proc/driver/nvidia", "/proc/devices", "/proc/sys/vm", "/sys/bus/pci", "/sys/devices",
    "/etc/nvidia",
)  # fmt: skip
_MPS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"


def uses_mps() -> bool:
    """Whether CUDA in this process connects to an MPS daemon of the platform."""
    return _MPS[0] in os.environ


def rules() -> dict[Path, int]:
    """Return Landlock's rules for the driver: its nodes, its files, the names of threads; and for
    compiled kernels."""
    nodes = dict.fromkeys(Path("/dev").glob("nvidia*"), landlock.DEVICE)
    found = {Path(each): landlock.READ for each in _READ} | nodes
    found[kernel_folder.folder()] = landlock.READ
    found[Path.home() / ".nv"] = landlock.REWRITE
    found[Path("/proc/self").resolve()] = landlock.REWRITE
    return found | _of_mps()


def _of_mps() -> dict[Path, int]:
    """Return the folders of MPS and of the shared memory that its clients use."""
    if not uses_mps():
        return {}
    places = [*(os.environ[name] for name in _MPS if name in os.environ), "/dev/shm"]
    return {Path(each): landlock.REWRITE for each in places}
