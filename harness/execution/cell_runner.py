"""Prepares, executes and records the cells of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cached_property

from harness.cells.cell import Prepared
from harness.cells.conditions import RunConditions
from harness.cells.deployments import function_ids
from harness.cells.plan import CellPlan
from harness.cells.records import CellRecords
from harness.cost import instance_sheet, price_sheet
from harness.errors import HarnessError
from systems.interface import ServingSystem
from systems.registry import system_class

from .executor import Executor, RunContext
from .loads import Loads

Conditions = Callable[[], RunConditions]


class CellRunner:
    """Runs cells on ``executor`` and records them in the context's run, with ``conditions``
    (default: the executor's), which are measured before the first cell. The constructor raises if
    the experiment names unknown price sheets or figures, before any load is sent."""

    def __init__(
        self, context: RunContext, executor: Executor, conditions: Conditions | None = None
    ) -> None:
        self.context = context
        self._executor = executor
        self._loads = Loads()
        self._conditions = conditions or executor.conditions
        self._prices = price_sheet(context.experiment.prices)
        if context.experiment.instance_prices:
            instance_sheet(context.experiment.instance_prices)
        _check_figures(context.experiment.figures)

    def is_done(self, plan: CellPlan) -> bool:
        """Tell whether the cell's records are in the run."""
        return (self.context.run.path / plan.path).exists()

    def prepare(self, plan: CellPlan) -> Prepared:
        """Load the workload, check the deployment and make the schedule. Raise for every mistake
        that a user can make."""
        from systems.models.sizes import model_size

        workload = self._loads.workload(plan)
        system: ServingSystem = system_class(plan.system.name)()
        deployment = self._executor.deployment(plan, function_ids(workload))
        system.configure(deployment)
        self._executor.check(plan, system, deployment)
        vocabularies = [
            model_size(str(path), deployment.dtype, 1, "cpu").vocab_size
            for path in deployment.backbones.values()
        ]
        drawn = self._loads.schedule(plan, min(vocabularies))
        schedule = self._executor.schedule(plan, drawn, deployment)
        return Prepared(plan, workload, schedule, deployment, system)

    def run(self, cell: Prepared, title: str) -> None:
        """Run a cell and write its records, either all or none."""
        records = self._records
        started_at = datetime.now(UTC).isoformat(timespec="seconds")
        records.write(cell, self._executor.run(cell, title), started_at)

    @cached_property
    def _records(self) -> CellRecords:
        """Measure the run's conditions; called before the first cell runs."""
        context = self.context
        conditions = self._conditions()
        return CellRecords(context.experiment, context.run, self._prices, conditions)


def _check_figures(names: Iterable[str]) -> None:
    from paper_figures import figure_names, sweep_names

    known = [*figure_names(), *sweep_names()]
    for name in names:
        if name not in known:
            raise HarnessError(f"figures: {name!r} is unknown; known: {', '.join(known)}")
