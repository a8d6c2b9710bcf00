"""Generated directories: made completely or not at all, by one process at a time."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from systems.errors import SystemsError

_RUST_OS_ERROR = re.compile(r"\(os error \d+\)")
"""How safetensors and tokenizers report system errors; neither raises an ``OSError``."""


def cache_root() -> Path:
    """Return ``SLBENCH_CACHE``, or ``~/.cache/slbench`` if it is not set."""
    named = os.environ.get("SLBENCH_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "slbench"


def adapters_root(backbone_dir: Path) -> Path:
    """Return the directory for adapters of a backbone: its name is the backbone's and a digest of
    its path and config.json."""
    resolved = backbone_dir.resolve()
    digest = hashlib.blake2b(str(resolved).encode(), digest_size=4)
    digest.update((resolved / "config.json").read_bytes())
    return cache_root() / "adapters" / f"{resolved.name}-{digest.hexdigest()}"


def make_once(target: Path, make: Callable[[Path], None], nbytes: int = 0) -> Path:
    """Return ``target``, after creating it if it does not exist: ``make`` fills a directory beside
    it, which is then renamed; other processes wait meanwhile. A process that dies leaves no lock,
    and a partial directory that the next process deletes.

    Raises ``SystemsError`` if the disk has less than ``nbytes`` free or cannot be written."""
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (target.parent / f".{target.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.is_dir():
                _check_room(target, nbytes)
                _make(target, make)
    except Exception as error:
        if not (isinstance(error, OSError) or _RUST_OS_ERROR.search(str(error))):
            raise
        raise SystemsError(
            f"{target}: cannot be made: {error}; set SLBENCH_CACHE to another directory"
        ) from error
    return target


def _check_room(target: Path, nbytes: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if free < nbytes:
        raise SystemsError(
            f"{target}: needs {nbytes / 1e9:.3g} GB, but {free / 1e9:.3g} GB are free there;"
            " set SLBENCH_CACHE to another directory"
        )


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
