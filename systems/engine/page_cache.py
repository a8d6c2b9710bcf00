"""Reports which pages of a file are in the page cache (mincore(2)), without loading any."""

from __future__ import annotations

import ctypes
import mmap
import os

_FAILED = ctypes.c_void_p(-1).value


class Residency:
    """Page-cache residency of an open file. If the kernel does not report it (a file that this user
    may not write), all pages count as cached."""

    def __init__(self, fd: int) -> None:
        self._libc = _libc()
        self._size = os.fstat(fd).st_size
        self._address: int | None = None
        if self._size:
            found = self._libc.mmap(None, self._size, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
            self._address = None if found == _FAILED else found

    def has(self, offset: int, nbytes: int) -> bool:
        """Whether the first, middle and last page of a range are cached. Three pages suffice: the
        cache is filled and evicted in longer runs."""
        last = offset + max(0, nbytes - 1)
        return all(self._has_page(at) for at in (offset, (offset + last) // 2, last))

    def _has_page(self, offset: int) -> bool:
        if self._address is None or offset >= self._size:
            return True
        page = offset // mmap.PAGESIZE * mmap.PAGESIZE
        found = (ctypes.c_ubyte * 1)()
        if self._libc.mincore(self._address + page, mmap.PAGESIZE, found) != 0:
            return True
        return bool(found[0] & 1)

    def close(self) -> None:
        if self._address is not None:
            self._libc.munmap(self._address, self._size)
            self._address = None


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
    ]  # fmt: skip
    libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return libc
