"""Runs an experiment cell by cell: deploy, load, evidence, records, stop.

A cell is one system under one workload with one seed. Systems take turns in an order drawn anew
for each workload and repeat, so that no drift of the machine favours one (measurement rule 13).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.experiment import Experiment
from harness.records import Run

from .cell_runner import CellRunner
from .executor import RunContext
from .modes import MODES
from .progress import Progress

if TYPE_CHECKING:
    from harness.replay.hosts import LoadHosts


class Runner:
    """Carries an experiment out into a run's folder, in the experiment's mode. ``web_port``:
    Locust's page while load is sent; ``hosts``: others that load comes from."""

    def __init__(
        self,
        experiment: Experiment,
        run: Run,
        progress: Progress,
        *,
        web_port: int | None = None,
        hosts: LoadHosts | None = None,
    ) -> None:
        context = RunContext(experiment, run, progress, web_port, hosts)
        mode = MODES[experiment.mode]
        self._run = run
        self._order = mode.order
        self._cells = CellRunner(context, mode.executor(context))

    def execute(self, workers: int | None = None) -> None:
        """Run every cell that is not there yet. Raises before the first starts where the request
        is wrong. ``workers``: processes over which simulated cells are spread; None is one a core.
        Live cells always have the machine to themselves."""
        self._run.sweep()
        self._order(self._cells, workers)
