"""Simulates what a live run ran."""

from __future__ import annotations

from collections import defaultdict
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
LATER_OPTIONS = {"mixed_passes": False}
"""Options of serverless systems that live runs did not have before → what these did."""


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
    there: defaultdict[str, list[Cell]] = defaultdict(list)
    for cell in live.cells():
        there[cell.system].append(cell)
    systems = [
        {**each, "options": _today(each, there[each.get("label", each["name"])])}
        for each in content["systems"]
        if each.get("label", each["name"]) in there and is_simulable(each["name"])
    ]
    if not systems:
        raise HarnessError(f"{live.id}: none of its systems can be simulated")
    changes = {"mode": "simulated", "profile": profile, "systems": systems, "baseline": None}
    return Experiment.model_validate({**content, **changes})


def _today(system: Mapping[str, Any], cells: Iterable[Cell]) -> dict[str, Any]:
    """Return the options of ``system`` today with which it does what it did in ``cells``, or in the
    oldest of them."""
    from systems.registry import system_class

    later: dict[str, Any] = {}
    if system_class(system["name"]).kind == "serverless":
        known = [cell.manifest.system["options"].keys() for cell in cells]
        later = {
            name: value
            for name, value in LATER_OPTIONS.items()
            if any(name not in each for each in known)
        }
    given = {RENAMED_OPTIONS.get(name, name): value for name, value in system["options"].items()}
    return {**later, **given}


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
