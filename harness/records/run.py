"""A run's folder: its experiment and its finished cells."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import RecordError
from ..natural_order import natural
from ..places import RUNS, located
from .cell import Cell, read_cell
from .drafts import draft_of, scratch_in, sweep
from .refusal import RUN_FILE, no_run


@dataclass(frozen=True)
class Run:
    """A run on disk. ``experiment`` is the complete experiment, so that the run can be resumed."""

    path: Path
    experiment: Mapping[str, Any]

    @property
    def id(self) -> str:
        return self.path.name

    def sweep(self) -> None:
        """Remove the drafts of dead writers."""
        for folder in (self.path, *self.path.glob("*/*")):
            sweep(folder)

    def scratch(self) -> AbstractContextManager[Path]:
        """Yield a temporary folder for the time in which a cell runs."""
        return scratch_in(self.path)

    def cells(self) -> list[Cell]:
        """Read every finished cell, by system, workload, seed; numbers within names by value, so
        that the points of a sweep are in order. Drafts begin with a dot."""
        found = self.path.glob("*/*/*/manifest.json")
        return [
            read_cell(manifest.parent)
            for manifest in sorted(found, key=_in_order)
            if not any(part.startswith(".") for part in manifest.parts[-4:])
        ]


def _in_order(manifest: Path) -> list[list[str | float]]:
    return [natural(name) for name in manifest.parts[-4:]]


def new_run(experiment: Mapping[str, Any], root: Path = RUNS) -> Run:
    """Create a folder named by time and experiment, never an existing one. Removes drafts of dead
    writers from ``root``. Raises ``RecordError`` if the folder cannot be written."""
    try:
        return _new_run(experiment, root)
    except OSError as error:
        raise RecordError(
            f"--out {root}: a run cannot be written there ({error.strerror or error}); name one"
            " that can be written"
        ) from error


def _new_run(experiment: Mapping[str, Any], root: Path) -> Run:
    sweep(root)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    for number in itertools.count(1):
        suffix = f"-{number}" if number > 1 else ""
        path = root / f"{stamp}-{experiment['name']}{suffix}"
        with contextlib.suppress(RecordError):
            return create_run(experiment, path)
    raise AssertionError("there is always a further number")


def create_run(experiment: Mapping[str, Any], path: Path) -> Run:
    """Create a run in the folder ``path``. Raise ``RecordError`` if that exists."""
    with draft_of(path) as draft:
        content = json.dumps(experiment, indent=1) + "\n"
        (draft / RUN_FILE).write_text(content, encoding="utf-8")
    return Run(path, experiment)


def open_run(name: str | Path, root: Path = RUNS) -> Run:
    """Open a run by its folder, by its id under ``root``, or a reference run by its id. Raise
    ``RecordError`` if it is none, or its ``run.json`` cannot be read."""
    path = located(name, root)
    if why := no_run(name, path, root):
        raise RecordError(why)
    return Run(path, _experiment(path / RUN_FILE))


def _experiment(file: Path) -> Mapping[str, Any]:
    try:
        experiment = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise RecordError(f"{file}: cannot be read ({why})") from error
    if not isinstance(experiment, dict):
        raise RecordError(f"{file}: cannot be read (not a mapping)")
    return experiment
