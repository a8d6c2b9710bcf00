"""Detects by kernel data, not by a process's own reports, whether it still holds a shared copy."""

from __future__ import annotations

import os
from pathlib import Path


def holds(pid: int, fd: int) -> bool:
    """Whether a process has the memory file ``fd`` mapped or open. False if it has ended.

    If the kernel hides the mappings of a process from the gateway (which lacks CAP_SYS_PTRACE),
    its resident shared pages decide, which it cannot hide: it holds a copy if they amount to half
    the copy's size. This misses a kept mapping whose pages were returned to the kernel
    (MADV_DONTNEED)."""
    try:
        return _maps(pid, fd) or _has_open(pid, fd)
    except PermissionError:
        return 2 * _resident_shared(pid) >= os.fstat(fd).st_size
    except (FileNotFoundError, ProcessLookupError):
        return False


def _maps(pid: int, fd: int) -> bool:
    """Parses proc_pid_maps(5): range, permissions, offset, device, inode, path."""
    file = os.fstat(fd)
    device = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}"
    lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    return [device, str(file.st_ino)] in (line.split()[3:5] for line in lines)


def _has_open(pid: int, fd: int) -> bool:
    with os.scandir(f"/proc/{pid}/fd") as entries:
        return any(_is_same(entry.path, fd) for entry in entries)


def _is_same(path: str, fd: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False  # closed in the meantime


def _resident_shared(pid: int) -> int:
    """Return the bytes of shared memory in a process's page tables (proc_pid_status(5))."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = (line.split()[1] for line in lines if line.startswith("RssShmem:"))
    return int(next(found, "0")) * 1024
