"""A run's folder: what was asked for, and the cells that are done."""

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
from ..places import RUNS
from .cell import Cell, read_cell
from .drafts import draft_of, scratch_in, sweep


@dataclass(frozen=True)
class Run:
    """``experiment`` is the whole of what was asked for, so that it can be resumed."""

    path: Path
    experiment: Mapping[str, Any]

    @property
    def id(self) -> str:
        return self.path.name

    def sweep(self) -> None:
        """Remove what writers that are gone left half written."""
        for folder in (self.path, *self.path.glob("*/*")):
            sweep(folder)

    def scratch(self) -> AbstractContextManager[Path]:
        """A folder for what is needed while a cell is run."""
        return scratch_in(self.path)

    def cells(self) -> list[Cell]:
        """Every finished cell, by system, workload, seed. Drafts begin with a dot."""
        found = self.path.glob("*/*/*/manifest.json")
        return [
            read_cell(manifest.parent)
            for manifest in sorted(found)
            if not any(part.startswith(".") for part in manifest.parts[-4:])
        ]


def new_run(experiment: Mapping[str, Any], root: Path = RUNS) -> Run:
    """A folder named by the time and the experiment; never one that exists. Drafts of
    writers that are gone are swept from ``root``. ``RecordError`` where it cannot be written."""
    try:
        return _new_run(experiment, root)
    except OSError as error:
        raise RecordError(
            f"--out {root}: no run can be kept there ({error.strerror or error}); name a folder"
            " that can be written"
        ) from error


def _new_run(experiment: Mapping[str, Any], root: Path) -> Run:
    sweep(root)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    for number in itertools.count(1):
        suffix = f"-{number}" if number > 1 else ""
        path = root / f"{stamp}-{experiment['name']}{suffix}"
        with contextlib.suppress(RecordError):
            with draft_of(path) as draft:
                content = json.dumps(experiment, indent=1) + "\n"
                (draft / "run.json").write_text(content, encoding="utf-8")
            return Run(path, experiment)
    raise AssertionError("there is always a further number")


def open_run(name: str | Path, root: Path = RUNS) -> Run:
    """A run by its folder, or by its id under ``root``."""
    path = Path(name) if Path(name).is_dir() else root / name
    try:
        experiment = json.loads((path / "run.json").read_bytes())
    except (OSError, ValueError) as error:
        raise RecordError(f"{name}: not a run directory (no readable run.json)") from error
    return Run(path, experiment)
