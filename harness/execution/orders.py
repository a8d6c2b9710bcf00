"""Runs the missing cells of a run in an order. Each order checks the experiment before the first
cell starts, so that an invalid one fails at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.cells.plan import plan_cells, samples
from harness.records import place_cell
from systems.runtime.links.address import ClusterAddress

from .cell_runner import CellRunner
from .cell_tasks import CellTask, run_cell, run_remote_cell
from .executor import RunContext
from .ray_sweeps import spread_over
from .sweeps import cores, spread


def in_turn(cells: CellRunner, workers: int | None) -> None:
    """Run one cell after another in this process, so that each has the machine to itself.
    ``workers`` is ignored."""
    del workers
    checked = [cells.prepare(plan) for plan in plan_cells(cells.context.experiment)]
    todo = [cell for cell in checked if not cells.is_done(cell.plan)]
    lengths_s = [cell.load_s for cell in todo]
    with cells.context.progress.watching(lengths_s) as watch:
        for cell in todo:
            with watch.cell(cell.plan.title):
                cells.run(cell, cell.plan.title)


def spread_out(cells: CellRunner, workers: int | None) -> None:
    """Simulate cells in ``workers`` processes (None: one per core), or on the experiment's
    cluster."""
    context = cells.context
    for plan in samples(context.experiment):
        cells.prepare(plan)
    todo = [
        CellTask(context.experiment, context.run.path, plan)
        for plan in plan_cells(context.experiment)
        if not cells.is_done(plan)
    ]
    done = _simulate(context, todo, cores() if workers is None else workers)
    for number, task in enumerate(done, start=1):
        context.progress.say(f"[{number}/{len(todo)}] {task.plan.title}")


def _simulate(context: RunContext, todo: Sequence[CellTask], workers: int) -> Iterator[CellTask]:
    """Yield each task when it ends."""
    cluster = context.experiment.deployment.cluster
    if cluster is None:
        yield from (task for task, _ in spread(run_cell, todo, workers))
        return
    for task, files in spread_over(ClusterAddress.parse(cluster), run_remote_cell, todo):
        place_cell(context.run.path / task.plan.path, files)
        yield task
