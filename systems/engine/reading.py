"""Bytes of a file into memory: through the page cache, or past it.

Past it means: what is in the cache is copied out of it, and the rest comes from the disk by large
reads (O_DIRECT) straight into our memory, with no copy by a core and nothing left behind. That is
for what is read once; what is read again soon is better left in the cache. Where a file system
refuses such reads, the cache it is.
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

from .residency import Residency

PAGE = 4096
"""Direct reads start and end on a multiple of it, in the file and in memory."""
STEP = (16 << 20) - 2 * PAGE
"""Of one read: with what it reads too much at both ends, a power of two."""


@dataclass(frozen=True, slots=True)
class Piece:
    """``nbytes`` that go as they are from ``offset`` of a file to ``at`` in a backbone's buffer."""

    path: Path
    offset: int
    at: int
    nbytes: int


def read(fd: int, piece: Piece, target: memoryview) -> None:
    """A piece of the open file into ``target``. ``CheckpointError`` where the file ends in it."""
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
    """An open file, read by several threads at once."""

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
        """A piece, no longer than ``STEP``, to the start of ``target``, which may lie anywhere.
        ``CheckpointError`` where the file ends in it."""
        if self._from_cache(piece, target):
            return
        with self._buffer() as buffer:
            start = self._from_disk(piece, buffer)
            target[: piece.nbytes] = buffer[start : start + piece.nbytes]

    def fetch(self, piece: Piece, buffer: memoryview) -> int:
        """The same into ``buffer``, which starts on a page and has two to spare; where in it the
        piece starts."""
        return 0 if self._from_cache(piece, buffer) else self._from_disk(piece, buffer)

    def _from_cache(self, piece: Piece, target: memoryview) -> bool:
        """Whether the piece was to be had without going past the cache."""
        if self._residency is None:
            read(self._fd, piece, target)
            return True
        if not self._residency.has(piece.offset, piece.nbytes):
            return False
        try:
            _read(self._fd, piece, target, os.RWF_NOWAIT)
        except BlockingIOError:
            return False  # some of it is not there after all
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
            read(self._fd, piece, target)
        return True

    def _from_disk(self, piece: Piece, buffer: memoryview) -> int:
        """Whole pages, the piece among them; where it starts."""
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
    """Bytes read; None where the file system refuses."""
    try:
        return os.preadv(fd, [target], offset)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):
            return None
        raise
