"""Simulates what a live run ran."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import HarnessError

if TYPE_CHECKING:
    from harness.execution.progress import Progress
    from harness.records import Cell, Run

    from ..experiment import Experiment

RENAMED_OPTIONS = {"spares": "prewarmed"}
"""Options of earlier live runs → their names today."""


def simulate(live: Run, profile: str, folder: Path, progress: Progress) -> list[Cell]:
    """Simulate the cells of ``live`` by ``profile``; keep the run under ``folder``. Raise
    ``HarnessError`` if no system of it can be simulated, or if the same experiment has another
    schedule today."""
    from harness.execution.runner import Runner
    from harness.records import new_run

    twin = twin_of(live, profile)
    run = new_run(twin.model_dump(mode="json"), folder)
    Runner(twin, run, progress).execute()
    cells = run.cells()
    _check_schedules(live, cells)
    return cells


def twin_of(live: Run, profile: str) -> Experiment:
    """Return the experiment that simulates ``live``, without the systems that run live only or of
    which it has no cell."""
    from ..experiment import Experiment
    from ..simulable import is_simulable

    content = dict(live.experiment)
    if content["deployment"].get("cluster"):
        raise HarnessError(f"{live.id}: a run on a cluster cannot be simulated")
    there = {cell.system for cell in live.cells()}
    systems = [
        {**each, "options": _today(each["options"])}
        for each in content["systems"]
        if each.get("label", each["name"]) in there and is_simulable(each["name"])
    ]
    if not systems:
        raise HarnessError(f"{live.id}: none of its systems can be simulated")
    changes = {"mode": "simulated", "profile": profile, "systems": systems, "baseline": None}
    return Experiment.model_validate({**content, **changes})


def _today(options: Mapping[str, Any]) -> dict[str, Any]:
    return {RENAMED_OPTIONS.get(name, name): value for name, value in options.items()}


def _check_schedules(live: Run, simulated: Iterable[Cell]) -> None:
    """Two loads are not compared: a generator may have changed since the live run."""
    sent = {
        (cell.workload, cell.manifest.seed): cell.manifest.schedule_sha256 for cell in simulated
    }
    for cell in live.cells():
        today = sent.get((cell.workload, cell.manifest.seed))
        if today is not None and today != cell.manifest.schedule_sha256:
            raise HarnessError(
                f"{cell.path}: {cell.workload} has another schedule today than in this live run;"
                " make the live run again"
            )
