"""Runs an experiment cell by cell: deploy, send load, stop, read the system trace, write records.

A cell is one system under one workload with one seed. The order of the systems is drawn again for
each workload, seed and repeat, so that no drift of the machine favours one (measurement rule 13).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.experiment import Experiment
from harness.records import Run

from .cell_runner import CellRunner, Conditions
from .executor import RunContext
from .modes import MODES
from .progress import Progress

if TYPE_CHECKING:
    from harness.replay.hosts import LoadHosts


class Runner:
    """Runs an experiment in its mode and stores its records in a run's folder. ``web_port``: of
    Locust's page while load is sent; ``hosts``: other hosts that send load; ``conditions``: those
    of a series of runs, measured once."""

    def __init__(
        self,
        experiment: Experiment,
        run: Run,
        progress: Progress,
        *,
        web_port: int | None = None,
        hosts: LoadHosts | None = None,
        conditions: Conditions | None = None,
    ) -> None:
        context = RunContext(experiment, run, progress, web_port, hosts)
        mode = MODES[experiment.mode]
        self._run = run
        self._order = mode.order
        self._cells = CellRunner(context, mode.executor(context), conditions)

    def execute(self, workers: int | None = None) -> None:
        """Run every cell that has no records yet. Raise before the first cell starts if the
        experiment is invalid. ``workers``: processes for simulated cells; None: one per core. Live
        cells always run one at a time."""
        self._run.sweep()
        self._order(self._cells, workers)
