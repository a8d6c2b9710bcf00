"""What a name that is no run is instead, with what would be one."""

from __future__ import annotations

import os
from pathlib import Path

from ..places import REFERENCE

RUN_FILE = "run.json"
_DEPTH = 3
"""Folders from a run to a cell: its system, workload and seed."""


def no_run(name: str | Path, path: Path, root: Path) -> str | None:
    """Return, in one line, why ``path``, where ``name`` was looked for, is no run; None: it is one.
    ``root``: where runs are looked for by id."""
    if os.path.lexists(path / RUN_FILE):
        return None
    if not path.is_dir():
        elsewhere = f", and no run of this id in {root} or {REFERENCE}"
        return f"{name}: no such folder{'' if Path(name).is_absolute() else elsewhere}"
    if above := [each for each in path.resolve().parents[:_DEPTH] if _is_run(each)]:
        return f"{name}: is no run but a part of {above[0]}; name that"
    return f"{name}: is no run{_contained(path)}"


def _is_run(path: Path) -> bool:
    return (path / RUN_FILE).exists()


def _contained(path: Path) -> str:
    """Return the runs that a folder contains, as the end of a sentence."""
    runs = sorted(each.name for each in path.iterdir() if _is_run(each))
    if not runs:
        return f", for it has no {RUN_FILE}"
    if len(runs) == 1:
        return f" but contains {runs[0]}; name that"
    return f" but contains {len(runs)}, such as {runs[-1]}; name one"
