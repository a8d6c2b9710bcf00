"""A simulated cell as a task for another process or machine."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from harness.cells.plan import CellPlan
from harness.experiment import Experiment
from harness.records import Run

from .cell_runner import CellRunner
from .executor import RunContext
from .progress import Progress
from .simulated_executor import SimulatedExecutor


@dataclass(frozen=True, slots=True)
class CellTask:
    """What another process needs to simulate a cell. ``path``: the run's folder."""

    experiment: Experiment
    path: Path
    plan: CellPlan


def run_cell(task: CellTask) -> None:
    """Simulate a cell and write it to its run's folder, unless its records exist."""
    context = RunContext(task.experiment, Run(task.path, {}), Progress(io.StringIO()))
    cells = CellRunner(context, SimulatedExecutor(context))
    if not cells.is_done(task.plan):
        cells.run(cells.prepare(task.plan), task.plan.title)


def run_remote_cell(task: CellTask) -> dict[str, bytes]:
    """Simulate a cell on a machine without access to the run's folder. Return the contents of its
    files by name."""
    with tempfile.TemporaryDirectory(prefix="slbench-cell-") as folder:
        there = replace(task, path=Path(folder) / task.path.name)
        run_cell(there)
        files = (there.path / task.plan.path).iterdir()
        return {file.name: file.read_bytes() for file in files}
