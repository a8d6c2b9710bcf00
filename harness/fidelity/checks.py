"""The checks of the device profiles against the reference records."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from systems.runtime.swept_folder import swept

from ..places import REFERENCE
from .agreement import ALLOWED, compare
from .twins import simulate

if TYPE_CHECKING:
    from harness.execution.progress import Progress
    from harness.records import Cell, Run

FILE = "fidelity.json"
"""The check of a single live run, in its folder."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The live reference records that a profile is checked against, and of their cells those that
    started ``since`` and before ``until`` (None: all)."""

    records: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    def has(self, cell: Cell) -> bool:
        if self.since is None and self.until is None:
            return True
        started = datetime.fromisoformat(cell.manifest.started_at)
        return (self.since is None or started >= self.since) and (
            self.until is None or started < self.until
        )


def reference_records() -> Mapping[str, Checked]:
    """Return what each profile is checked against."""
    text = (files("harness") / "fidelity" / "records.toml").read_text(encoding="utf-8")
    return {
        profile: Checked(**{**about, "records": tuple(about["records"])})
        for profile, about in tomllib.loads(text).items()
    }


def check(live: Run, profile: str, progress: Progress, keep: Path | None = None) -> dict[str, Any]:
    """Simulate what ``live`` ran and compare. ``keep``: folder for the simulated run, which is
    otherwise removed."""
    return check_all([live], profile, progress, keep)


def check_all(
    runs: Iterable[Run],
    profile: str,
    progress: Progress,
    keep: Path | None = None,
    of: Checked = Checked(),
) -> dict[str, Any]:
    """Check several runs against one profile; the rows of all are in one document. ``of``: of their
    cells, those that it has."""
    from systems.simulation.profile import load_profile

    loaded = load_profile(profile)
    rows = [
        {"record": run.id, **row}
        for run in runs
        for row in _compared(
            run, [cell for cell in run.cells() if of.has(cell)], profile, progress, keep
        )
    ]
    about = {"profile": loaded.name, "profile_sha256": loaded.sha256, "allowed": ALLOWED}
    return {**about, "cells": rows}


def _compared(
    run: Run, cells: list[Cell], profile: str, progress: Progress, keep: Path | None
) -> list[dict[str, Any]]:
    with swept("slbench-fidelity-") as scratch:
        return compare(cells, simulate(run, profile, keep or scratch, progress, cells))


def reference_file(profile: str, root: Path = REFERENCE) -> Path:
    """Return where the check of a shipped profile is stored."""
    return root / f"fidelity-{profile}.json"


def write(document: Mapping[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
