"""Host memory that belongs to one process."""

from __future__ import annotations

import contextlib
import mmap


def map_private(size: int) -> mmap.mmap:
    """Map private memory for an unshared copy, in huge pages if the kernel provides them: otherwise
    page faults take as long as reading the data."""
    mapping = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):
        mapping.madvise(mmap.MADV_HUGEPAGE)
    return mapping
