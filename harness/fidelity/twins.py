"""Simulates what a live run ran."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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


def simulate(
    live: Run,
    profile: str,
    folder: Path,
    progress: Progress,
    chosen: Sequence[Cell] | None = None,
) -> list[Cell]:
    """Simulate ``chosen`` cells of ``live`` (None: all) by ``profile``, each as its code of then
    did; keep the runs under ``folder``. Raise ``HarnessError`` if no system of it can be simulated,
    or if the same experiment has another schedule today."""
    from harness.execution.runner import Runner
    from harness.records import new_run

    found = []
    for cells in _by_code(live.cells() if chosen is None else chosen):
        twin = twin_of(live, profile, cells)
        run = new_run(twin.model_dump(mode="json"), folder)
        Runner(twin, run, progress).execute()
        simulated = run.cells()
        _check_schedules(live, simulated)
        there = {_load(cell) for cell in cells}
        found += [cell for cell in simulated if _load(cell) in there]
    return found


def _by_code(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Part the cells that can be simulated by what they lack of today's options."""
    from ..simulable import is_simulable

    found: defaultdict[frozenset[str], list[Cell]] = defaultdict(list)
    for cell in cells:
        if is_simulable(cell.manifest.system["name"]):
            found[frozenset(_earlier(cell))].append(cell)
    return list(found.values()) or [list(cells)]


def _load(cell: Cell) -> tuple[str, str, int]:
    return cell.system, cell.workload, cell.manifest.seed


def twin_of(live: Run, profile: str, cells: Sequence[Cell] | None = None) -> Experiment:
    """Return the experiment that simulates ``cells`` of ``live`` (None: all), which are of code
    with the same options, without the systems that run live only or of which there is no cell."""
    from ..experiment import Experiment
    from ..simulable import is_simulable

    content = dict(live.experiment)
    if content["deployment"].get("cluster"):
        raise HarnessError(f"{live.id}: a run on a cluster cannot be simulated")
    chosen = live.cells() if cells is None else cells
    earlier = {cell.system: _earlier(cell) for cell in chosen}
    systems = [
        {**each, "options": {**earlier[label], **_today(each["options"])}}
        for each in content["systems"]
        if (label := each.get("label", each["name"])) in earlier and is_simulable(each["name"])
    ]
    if not systems:
        raise HarnessError(f"{live.id}: none of its systems can be simulated")
    changes = {"mode": "simulated", "profile": profile, "systems": systems, "baseline": None}
    return Experiment.model_validate({**content, **changes})


def _today(options: Mapping[str, Any]) -> dict[str, Any]:
    return {RENAMED_OPTIONS.get(name, name): value for name, value in options.items()}


def _earlier(cell: Cell) -> dict[str, Any]:
    """Return the options today with which a system does what ``cell`` did before it had them."""
    from systems.registry import system_class

    system = cell.manifest.system
    if system_class(system["name"]).kind != "serverless":
        return {}
    return {name: value for name, value in LATER_OPTIONS.items() if name not in system["options"]}


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
