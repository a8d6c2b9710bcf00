"""Directories that are made once: whole or not at all, by one process at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from systems.errors import SystemsError


def cache_root() -> Path:
    """``SLBENCH_CACHE``, or else ``~/.cache/slbench``."""
    named = os.environ.get("SLBENCH_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "slbench"


def make_once(target: Path, make: Callable[[Path], None]) -> Path:
    """``target``, after ``make`` has filled it if it did not exist. ``make`` works in a directory
    beside it that is renamed when done; whoever comes meanwhile waits. A process that dies leaves
    no lock, and a partial directory that the next one clears."""
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (target.parent / f".{target.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.is_dir():
                _make(target, make)
    except OSError as error:
        raise SystemsError(
            f"{target}: cannot be made: {error}; SLBENCH_CACHE names another place"
        ) from error
    return target


def _make(target: Path, make: Callable[[Path], None]) -> None:
    partial = target.parent / f".{target.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        make(partial)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
