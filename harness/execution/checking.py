"""Checks an experiment without running it."""

from __future__ import annotations

from pathlib import Path

from harness.cells.plan import CellPlan, samples
from harness.experiment import Experiment
from harness.records import Run

from .cell_runner import CellRunner
from .executor import RunContext
from .modes import MODES
from .progress import Progress


def check_experiment(experiment: Experiment) -> None:
    """Raise ``HarnessError``, ``SystemsError`` or ``WorkloadError`` for the first mistake: a name
    that does not exist, or, in simulated mode, whatever a run would refuse before its first
    cell. A live deployment is not made, because that makes models."""
    context = RunContext(experiment, Run(Path(experiment.name), {}), Progress())
    cells = CellRunner(context, MODES[experiment.mode].executor(context))
    for plan in samples(experiment):
        if experiment.mode == "simulated":
            cells.prepare(plan)
        else:
            _names(plan)


def _names(plan: CellPlan) -> None:
    """Raise unless system and workload exist."""
    from systems.registry import system_class
    from workloads import catalogue

    system_class(plan.system.name)
    catalogue.load(plan.workload.name, seed=plan.seed, **plan.workload.overrides)
