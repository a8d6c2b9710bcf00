"""Reads files into memory, through the page cache or by direct I/O.

Direct I/O: cached pages are copied from the page cache; the rest is read from disk in large reads
(O_DIRECT) straight into the caller's memory, without a copy by a core and without filling the
cache. It suits data that is read once; data that is read again soon should stay cached. If the
file system refuses O_DIRECT, reads go through the cache.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from systems.errors import CheckpointError

from .page_cache import Residency

PAGE = 4096
"""Direct reads start and end on a multiple of it, in the file and in memory."""
STEP = (16 << 20) - 2 * PAGE
"""Bytes per read. With up to one extra page at each end, it is a power of two."""


@dataclass(frozen=True, slots=True)
class Piece:
    """``nbytes`` to copy unchanged from ``offset`` of a file to ``at`` of a backbone's buffer."""

    path: Path
    offset: int
    at: int
    nbytes: int


def read(fd: int, piece: Piece, target: memoryview) -> None:
    """Read a piece of an open file into ``target``. ``CheckpointError`` if the file ends in it."""
    _read(fd, piece, target, 0)


def _read(fd: int, piece: Piece, target: memoryview, flags: int) -> None:
    done = 0
    while done < piece.nbytes:
        count = os.preadv(fd, [target[done : piece.nbytes]], piece.offset + done, flags)
        if count == 0:
            raise _ended(piece, done)
        done += count


def _ended(piece: Piece, done: int) -> CheckpointError:
    return CheckpointError(f"{piece.path}: ends before byte {piece.offset + done}")


class Source:
    """An open file that several threads may read."""

    def __init__(self, path: Path, *, past_cache: bool) -> None:
        self._fd = os.open(path, os.O_RDONLY)
        self._direct = _open_direct(path) if past_cache else None
        self._residency = Residency(self._fd) if self._direct is not None else None
        self._spare: SimpleQueue[mmap.mmap] = SimpleQueue()

    def close(self) -> None:
        if self._residency is not None:
            self._residency.close()
        for fd in (self._fd, self._direct):
            if fd is not None:
                os.close(fd)

    def read(self, piece: Piece, target: memoryview) -> None:
        """Read a piece of up to ``STEP`` bytes to the start of ``target``, which may be unaligned.
        ``CheckpointError`` if the file ends in it."""
        if self._from_cache(piece, target):
            return
        with self._buffer() as buffer:
            start = self._from_disk(piece, buffer)
            target[: piece.nbytes] = buffer[start : start + piece.nbytes]

    def fetch(self, piece: Piece, buffer: memoryview) -> int:
        """Read a piece into ``buffer``, which is page-aligned and two pages longer than the piece.
        Return the offset of the piece in it."""
        return 0 if self._from_cache(piece, buffer) else self._from_disk(piece, buffer)

    def _from_cache(self, piece: Piece, target: memoryview) -> bool:
        """Read the piece without direct I/O, if possible; return whether that worked."""
        if self._residency is None:
            read(self._fd, piece, target)
            return True
        if not self._residency.has(piece.offset, piece.nbytes):
            return False
        try:
            _read(self._fd, piece, target, os.RWF_NOWAIT)
        except BlockingIOError:
            return False  # a page was evicted in the meantime
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
            read(self._fd, piece, target)
        return True

    def _from_disk(self, piece: Piece, buffer: memoryview) -> int:
        """Read the whole pages around the piece; return the offset of the piece in ``buffer``."""
        assert self._direct is not None, "there is no way past the cache"
        skip = piece.offset % PAGE
        wanted = skip + piece.nbytes
        whole = -(-wanted // PAGE) * PAGE
        done = 0
        while done < wanted:
            at = piece.offset - skip + done
            count = _direct_read(self._direct, buffer[done:whole], at)
            if count is None:
                read(self._fd, piece, buffer)
                return 0
            done += count
            if (count % PAGE and done < wanted) or not count:
                raise _ended(piece, max(0, done - skip))
        return skip

    @contextlib.contextmanager
    def _buffer(self) -> Iterator[memoryview]:
        try:
            memory = self._spare.get_nowait()
        except Empty:
            memory = mmap.mmap(-1, STEP + 2 * PAGE)
        with memoryview(memory) as view:
            yield view
        self._spare.put(memory)


def _open_direct(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECT)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None
        raise


def _direct_read(fd: int, target: Any, offset: int) -> int | None:
    """Return the bytes read; None if the file system refuses direct I/O."""
    try:
        return os.preadv(fd, [target], offset)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):
            return None
        raise
