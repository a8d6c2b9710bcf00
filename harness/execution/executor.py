"""The interface of what runs an experiment's cells, live or simulated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from harness.cells.cell import Prepared, Seen
from harness.cells.conditions import RunConditions
from harness.cells.plan import CellPlan
from harness.experiment import Experiment
from harness.records import Run
from systems.interface import Deployment, ServingSystem

from .progress import Progress

if TYPE_CHECKING:
    from harness.replay import Schedule
    from harness.replay.hosts import LoadHosts


@dataclass(frozen=True, slots=True)
class RunContext:
    """An experiment and the run that stores its records."""

    experiment: Experiment
    run: Run
    progress: Progress
    web_port: int | None = None
    """Port of Locust's page while load is sent; None: no page."""
    hosts: LoadHosts | None = None
    """Other hosts that send load; None: only this host does."""


class Executor(Protocol):
    """Runs prepared cells, one at a time."""

    def deployment(self, plan: CellPlan, functions: Sequence[str]) -> Deployment:
        """Make a cell's deployment of ``functions``. Raise ``HarnessError`` if the system cannot
        run in this mode."""

    def check(self, plan: CellPlan, system: ServingSystem, deployment: Deployment) -> None:
        """Raise ``HarnessError`` or ``SystemsError`` if ``system`` cannot serve the cell's
        ``deployment`` here."""

    def schedule(self, plan: CellPlan, drawn: Schedule, deployment: Deployment) -> Schedule:
        """Return the schedule of a cell, from one with drawn token ids."""

    def conditions(self) -> RunConditions:
        """Measure the conditions that the records of all cells state. Called once, before the first
        cell runs."""

    def run(self, cell: Prepared, title: str) -> Seen:
        """Run one cell under a progress bar with ``title``."""
