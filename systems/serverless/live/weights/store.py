"""The backbone store: sealed memory files that instances map and cannot write.

A copy lives in a ``memfd``. Once filled it is sealed with ``F_SEAL_FUTURE_WRITE``: from then on
the kernel refuses every writable mapping and every ``write`` to it, whoever holds the
descriptor. (``F_SEAL_WRITE`` would say the same, but before Linux 6.7 also refuses the shared
read-only mappings that sharing lives on.) A store through a read-only mapping ends the process
that tries it with SIGSEGV.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import Any

F_SEAL_FUTURE_WRITE = 0x0010  # linux/fcntl.h, since 5.1; not yet in Python's fcntl
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | F_SEAL_FUTURE_WRITE


def create(name: str, size: int) -> int:
    """A descriptor of ``size`` bytes of anonymous shared memory; nothing is allocated yet."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
    except OSError:
        os.close(fd)
        raise
    return fd


def map_writable(fd: int) -> mmap.mmap:
    return mmap.mmap(fd, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE)


def map_shared(fd: int) -> mmap.mmap:
    """The whole of a sealed copy, read-only, its pages mapped at once rather than by faults in
    the first prefill. Refuses (``PermissionError``) a copy that is not sealed."""
    if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & SEALS != SEALS:
        raise PermissionError("the backbone is not sealed against writes")
    return map_readable(fd)


def map_readable(fd: int) -> mmap.mmap:
    """The same, sealed or not."""
    return mmap.mmap(fd, 0, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE, prot=mmap.PROT_READ)


def seal(fd: int) -> None:
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)


def checksum(buffer: Any, nbytes: int) -> int:
    """Of the first ``nbytes`` of a copy: the sum of its 64-bit words (and of the bytes after the
    last whole one), modulo 2⁶⁴. One changed word changes it."""
    import numpy as np

    words = np.frombuffer(buffer, np.int64, count=nbytes // 8)
    rest = np.frombuffer(buffer, np.uint8, count=nbytes % 8, offset=words.nbytes)
    return (int(words.sum()) + int(rest.sum())) % 2**64
