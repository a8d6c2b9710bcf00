"""Folders that are written whole or not at all, whoever is killed and whoever else writes.

A draft lies beside its place under a name with a dot and is renamed into it when all of it is on
the disk. Its writer holds a lock on the folder itself, from its making until it is in place, and
the kernel drops the lock with the process: a draft that can be locked belongs to a writer that is
gone.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import RecordError


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """A folder to fill, which becomes ``path``. ``RecordError`` where that exists already, be it an
    empty folder: before the draft is filled, or when another writer was first."""
    _make(path.parent)
    _refuse_existing(path)
    draft, lock = _locked_draft(path)
    try:
        yield draft
        for file in (*draft.iterdir(), draft):
            sync(file)
        draft.chmod(0o755)
        with _alone_in(path.parent):
            _refuse_existing(path)
            draft.rename(path)
        sync(path.parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    finally:
        os.close(lock)


@contextmanager
def scratch_in(folder: Path) -> Iterator[Path]:
    """A folder for the time being, which :func:`sweep` removes should this process not get to."""
    scratch, lock = _locked_draft(folder / "scratch")
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(lock)


def sweep(folder: Path) -> None:
    """Remove the drafts in ``folder`` whose writers are gone."""
    for draft in folder.glob(".*-*"):
        if draft.is_dir():
            _remove_unheld(draft)


def _remove_unheld(draft: Path) -> None:
    try:
        lock = os.open(draft, os.O_RDONLY)
    except OSError:
        return  # in place, or swept by another
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(draft, ignore_errors=True)
    except BlockingIOError:
        return
    finally:
        os.close(lock)


def _locked_draft(path: Path) -> tuple[Path, int]:
    """A draft, and the descriptor that holds its lock. One that was swept between its making and
    its locking is made again."""
    while True:
        draft = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        try:
            lock = os.open(draft, os.O_RDONLY)
        except FileNotFoundError:
            continue
        fcntl.flock(lock, fcntl.LOCK_EX)
        if draft.exists():
            return draft, lock
        os.close(lock)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Looking whether a place is free and taking it are one step among writers."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _refuse_existing(path: Path) -> None:
    # A rename would replace an empty folder in silence.
    if os.path.lexists(path):
        raise RecordError(f"{path}: is there already; a cell is written once")


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
