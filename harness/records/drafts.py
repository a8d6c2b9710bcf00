"""Folders that are written completely or not at all, even if a writer is killed or several write.

A draft is a folder next to its destination, with a name that begins with a dot; it is renamed once
all of it is on disk. Its writer locks the draft folder from creation to rename. The kernel releases
the lock when the process ends, so an unlocked draft belongs to a dead writer.
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
    """Yield a folder that becomes ``path`` at exit. Raises ``RecordError`` if ``path`` exists, even
    as an empty folder; checked at the start and before the rename."""
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
    """Yield a temporary folder. :func:`sweep` removes it if this process dies first."""
    scratch, lock = _locked_draft(folder / "scratch")
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(lock)


def sweep(folder: Path) -> None:
    """Remove the drafts in ``folder`` whose writers are dead."""
    for draft in folder.glob(".*-*"):
        if draft.is_dir():
            _remove_unheld(draft)


def _remove_unheld(draft: Path) -> None:
    try:
        lock = os.open(draft, os.O_RDONLY)
    except OSError:
        return  # already renamed, or removed by another
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(draft, ignore_errors=True)
    except BlockingIOError:
        return
    finally:
        os.close(lock)


def _locked_draft(path: Path) -> tuple[Path, int]:
    """Create a draft; return it with the descriptor that holds its lock. Retries if another process
    removes the draft before it is locked."""
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
    """Lock the folder, so that the check of a destination and the rename are one step."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _refuse_existing(path: Path) -> None:
    # A rename would silently replace an empty folder.
    if os.path.lexists(path):
        raise RecordError(f"{path}: already exists; a cell is written once")


def _make(folder: Path) -> None:
    """Create the folder and its parents, and sync them to disk."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync(each.parent)


def sync(path: Path) -> None:
    """Flush ``path`` to disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
