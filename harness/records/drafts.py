"""Folders that are written whole or not at all.

A draft lies beside its place under a name with a dot and is renamed into it when all of it is on
the disk. Its writer holds a lock on it: one that nobody holds belongs to a writer that is gone.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import RecordError

_LOCK = ".lock"


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """A folder to fill, which becomes ``path``. ``RecordError`` where that exists already."""
    _make(path.parent)
    if path.exists():
        raise RecordError(f"{path}: is there already; a cell is written once")
    draft = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    lock = os.open(draft / _LOCK, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield draft
        for file in draft.iterdir():
            sync(file)
        (draft / _LOCK).unlink()
        sync(draft)
        draft.chmod(0o755)
        _rename(draft, path)
        sync(path.parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def sweep(root: Path) -> None:
    """Remove the drafts below ``root`` whose writers are gone."""
    for draft in root.glob("**/.*-*"):
        if draft.is_dir() and not _held(draft / _LOCK):
            shutil.rmtree(draft, ignore_errors=True)


def _held(lock: Path) -> bool:
    try:
        fd = os.open(lock, os.O_RDWR)
    except OSError:
        # Without its lock it is either not yet a draft or about to be a cell, or its writer died
        # between two calls; the next sweep sees which.
        return lock.parent.exists() and _young(lock.parent)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def _young(folder: Path) -> bool:
    try:
        return time.time() - folder.stat().st_mtime < 60
    except OSError:
        return False


def _rename(draft: Path, path: Path) -> None:
    """Into place, where nothing is: an empty folder there would be replaced in silence."""
    if path.exists():
        raise RecordError(f"{path}: was written by another meanwhile; a cell is written once")
    draft.rename(path)


def _make(folder: Path) -> None:
    """The folder and those above it, known to the disk."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync(each.parent)


def sync(path: Path) -> None:
    """Have the disk know what ``path`` holds."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
