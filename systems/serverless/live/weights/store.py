"""The backbone store: sealed memory files that instances map and cannot write.

A copy is a ``memfd``. Once filled, it is sealed with ``F_SEAL_FUTURE_WRITE``: from then on the
kernel refuses every writable mapping and every ``write``, for any holder of the descriptor.
(``F_SEAL_WRITE`` does the same, but before Linux 6.7 it also refuses shared read-only mappings,
which sharing needs.) A write through a read-only mapping kills the writing process with SIGSEGV.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import Any

F_SEAL_FUTURE_WRITE = 0x0010  # linux/fcntl.h, since Linux 5.1; not yet in Python's fcntl
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | F_SEAL_FUTURE_WRITE


def create(name: str, size: int) -> int:
    """Return a descriptor of ``size`` bytes of anonymous shared memory, allocated on first use."""
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
    """Map a sealed copy read-only and populate its pages at once, to avoid page faults in the first
    prefill. Raise ``PermissionError`` if the copy is not sealed."""
    if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & SEALS != SEALS:
        raise PermissionError("the backbone is not sealed against writes")
    return map_readable(fd)


def map_readable(fd: int) -> mmap.mmap:
    """Map a copy read-only, sealed or not."""
    return mmap.mmap(fd, 0, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE, prot=mmap.PROT_READ)


def seal(fd: int) -> None:
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)


def checksum(buffer: Any, nbytes: int) -> int:
    """Return the sum of the first ``nbytes`` of a copy: of its 64-bit words (and of the bytes after
    the last whole word), modulo 2⁶⁴. A change of one word changes the sum."""
    import numpy as np

    words = np.frombuffer(buffer, np.int64, count=nbytes // 8)
    rest = np.frombuffer(buffer, np.uint8, count=nbytes % 8, offset=words.nbytes)
    return (int(words.sum()) + int(rest.sum())) % 2**64
