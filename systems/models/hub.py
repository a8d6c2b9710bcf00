"""Directories in the layout of the Hugging Face cache: ``models--ORGANIZATION--NAME`` with
``refs/main`` and ``snapshots/REVISION``, whose files are links into ``blobs``."""

from __future__ import annotations

import os
from pathlib import Path

from systems.errors import CheckpointError

_REPOSITORY, _SNAPSHOTS = "models--", "snapshots"


def snapshot(path: Path) -> Path:
    """Return the directory with the files of ``path``: of a repository in the cache, the snapshot
    of its main revision, or the only one; otherwise ``path``. Raise ``CheckpointError`` if the
    repository has none or several."""
    if not path.name.startswith(_REPOSITORY) or not (path / _SNAPSHOTS).is_dir():
        return path
    there = {each.name: each for each in (path / _SNAPSHOTS).iterdir() if each.is_dir()}
    main = _main(path)
    if main in there:
        return there[main]
    if len(there) != 1:
        raise CheckpointError(
            f"{path}: has {len(there)} snapshots and refs/main names none of them; name one,"
            f" as {path / _SNAPSHOTS / 'REVISION'}"
        )
    return next(iter(there.values()))


def directory(name_or_path: str | Path) -> Path:
    """Return the directory with the files of a model: of a path, as :func:`snapshot`, or of the
    repository ``ORGANIZATION/NAME`` in this user's cache. Nothing is downloaded: the directory of
    an unknown model does not exist. Raise ``CheckpointError`` as :func:`snapshot`."""
    path = Path(name_or_path).expanduser()
    organization, _, name = str(name_or_path).partition("/")
    here = _cache() / f"{_REPOSITORY}{organization}--{name}"
    return snapshot(here if not path.is_dir() and "/" not in name and here.is_dir() else path)


def model_name(path: Path) -> str:
    """Return the name of a model: its directory's, or its repository's in the cache."""
    repository = path.parent.parent if path.parent.name == _SNAPSHOTS else path
    if repository.name.startswith(_REPOSITORY):
        return repository.name.rpartition("--")[2]
    return path.name


def _cache() -> Path:
    home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or f"{home}/hub").expanduser()


def _main(repository: Path) -> str | None:
    try:
        with (repository / "refs" / "main").open(encoding="utf-8") as file:
            return file.read(100).strip()
    except (OSError, ValueError):
        return None
