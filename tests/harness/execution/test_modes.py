"""Executors are chosen by the experiment's mode alone, and share one interface."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from harness.cells.cell import Prepared, Seen
from harness.cells.conditions import RunConditions
from harness.cells.plan import CellPlan
from harness.execution.cell_runner import CellRunner
from harness.execution.executor import RunContext
from harness.execution.modes import MODES
from harness.execution.orders import in_turn
from harness.execution.progress import Progress
from harness.execution.simulated_executor import SimulatedExecutor
from harness.experiment import Experiment
from harness.experiment_files import load
from harness.records import new_run
from harness.replay import Schedule
from systems.interface import Deployment, ServingSystem


class LoggingExecutor:
    """Simulates, under conditions of its own, and notes what it is asked for."""

    def __init__(self, context: RunContext) -> None:
        self.calls: list[str] = []
        self._simulated = SimulatedExecutor(context)

    def deployment(self, plan: CellPlan, functions: Sequence[str]) -> Deployment:
        self.calls.append("deployment")
        return self._simulated.deployment(plan, functions)

    def schedule(self, plan: CellPlan, drawn: Schedule, deployment: Deployment) -> Schedule:
        return self._simulated.schedule(plan, drawn, deployment)

    def check(self, plan: CellPlan, system: ServingSystem, deployment: Deployment) -> None:
        self._simulated.check(plan, system, deployment)

    def conditions(self) -> RunConditions:
        self.calls.append("conditions")
        profile = {"name": "of this test"}
        return RunConditions(cores=3, ledger_grid=True, profile=profile, calibration={"n": 1})

    def run(self, cell: Prepared, title: str) -> Seen:
        self.calls.append(title)
        return self._simulated.run(cell, title)


def test_every_mode_of_an_experiment_has_an_executor() -> None:
    assert set(get_args(Experiment.model_fields["mode"].annotation)) == set(MODES)


def test_any_executor_runs_cells_whose_records_state_its_conditions(tmp_path: Path) -> None:
    """All cells are checked first; conditions are measured once, before the first cell runs."""
    changes = {"mode": "simulated", "systems": [{"name": "instainfer"}, {"name": "dlora"}]}
    experiment = load("time-breakdown", changes)
    run = new_run(experiment.model_dump(mode="json"), tmp_path)
    context = RunContext(experiment, run, Progress())
    executor = LoggingExecutor(context)
    in_turn(CellRunner(context, executor), None)
    *checked, first, second = executor.calls
    assert checked == ["deployment", "deployment", "conditions"]
    assert {first, second} == {
        f"{each} under time-breakdown, seed 0" for each in ("instainfer", "dlora")
    }
    for cell in run.cells():
        assert cell.manifest.profile == {"name": "of this test"}
        assert cell.manifest.calibration == {"n": 1}
        ledger = cell.table("memory").to_pandas()
        assert 100_000_000 in set(ledger["t_ns"]), "on the grid"
    in_turn(CellRunner(context, executor), None)
    assert executor.calls[5:] == ["deployment", "deployment"], "nothing is left to run"
