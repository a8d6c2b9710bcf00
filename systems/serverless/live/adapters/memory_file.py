"""Memory files of packed adapters: of a fixed size, then sealed, and mapped by instances.

A file's size is sealed before a parser gets it, so no parser can make it larger. It is sealed
against writes when the parser has ended. ``F_SEAL_WRITE`` is refused while any process has a
writable mapping; ``F_SEAL_FUTURE_WRITE``, as for backbones, would leave such a mapping writable.
"""

from __future__ import annotations

import fcntl
import mmap

from ..weights import store

_SIZE = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
SEALS = _SIZE | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def create(nbytes: int) -> int:
    """Return a descriptor of a writable memory file that always has ``nbytes``."""
    fd = store.create("adapter", nbytes)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SIZE)
    return fd


def seal(fd: int) -> None:
    """Make the content final for all holders of the descriptor. Raise ``OSError`` if a process
    still has a writable mapping, or if another process has sealed the seals."""
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)


def map_sealed(fd: int, nbytes: int) -> mmap.mmap:
    """Map a packed adapter of ``nbytes`` read-only, with all pages present. Raise
    ``PermissionError`` if it could still change, ``ValueError`` if it is shorter."""
    if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & SEALS != SEALS:
        raise PermissionError("the adapter's memory file is not sealed against writes")
    # Not MAP_SHARED: before Linux 6.7, a file with this seal refuses shared mappings. A private
    # mapping has the same pages, as long as the process does not make it writable for itself.
    return mmap.mmap(fd, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_POPULATE, prot=mmap.PROT_READ)
