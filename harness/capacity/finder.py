"""Finds capacities: tests one load of each system in turn, until every bracket is narrow."""

from __future__ import annotations

from collections.abc import Sequence

from ..execution.progress import Progress
from ..execution.runner import Runner
from .loads import Subject, subjects
from .point import Point, point_of
from .record import CapacityRecord, Request
from .result import Capacity, as_document


def find(record: CapacityRecord, progress: Progress, workers: int | None = None) -> list[Capacity]:
    """Run the search and return its result, which is also written after every point. Cells that
    exist are not run again. The systems take turns, so that no drift of the machine favours one
    (measurement rule 13). ``workers``: processes for simulated cells; None: one per core. Raise
    what a run raises, and ``HarnessError`` if a goal cannot be judged."""
    request = record.request
    found = [Capacity(each, {}, request.limits) for each in subjects(request.experiment)]
    while any(each.next_load is not None for each in found):
        for index, each in enumerate(found):
            load = each.next_load
            if load is not None:
                point = _test(record, each.subject, load, progress, workers)
                found[index] = each.with_point(point)
                record.write(_document(request, found))
    return found


def _document(request: Request, found: Sequence[Capacity]) -> dict[str, object]:
    return as_document(found, request.goals)


def _test(
    record: CapacityRecord,
    subject: Subject,
    load: float,
    progress: Progress,
    workers: int | None,
) -> Point:
    """Run the cells of a point that are missing, and judge it."""
    run, request = record.run_at(load), record.request
    experiment = subject.alone(type(request.experiment).model_validate(run.experiment))
    Runner(experiment, run, progress).execute(workers)
    cells = [cell for cell in run.cells() if (cell.system, cell.workload) == subject.key]
    point = point_of(load, cells, request.parsed, request.answered)
    progress.say(f"{subject.title} at load {load:g}: {_told(point)}")
    return point


def _told(point: Point) -> str:
    passed = "passes" if point.outcome.feasible else f"fails, {'; '.join(point.bound_by)}"
    return f"{point.requests_per_s:.3g} requests/s, {passed}"
