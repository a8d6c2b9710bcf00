"""Host memory of one process alone."""

from __future__ import annotations

import contextlib
import mmap


def map_private(size: int) -> mmap.mmap:
    """Memory of the process's own, for a copy that nobody shares; in huge pages where the kernel
    gives them, since filling it is otherwise as much faulting as reading."""
    mapping = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):
        mapping.madvise(mmap.MADV_HUGEPAGE)
    return mapping
