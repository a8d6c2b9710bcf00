"""Finds capacities: tests one load of each system in turn, until every bracket is narrow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

from ..execution.cell_runner import Conditions
from ..execution.executor import RunContext
from ..execution.modes import MODES
from ..execution.progress import Progress
from ..execution.runner import Runner
from ..experiment import Experiment
from ..records import Run
from .loads import Subject, subjects
from .point import Point, point_of
from .record import CapacityRecord
from .result import Capacity, as_document


def find(record: CapacityRecord, progress: Progress, workers: int = 1) -> list[Capacity]:
    """Run the search and return its result, which is also written after every point. Cells that
    exist are not run again. The systems take turns, so that no drift of the machine favours one
    (measurement rule 13). ``workers``: processes for the simulated cells of a load. Raise what a
    run raises, and ``HarnessError`` if a goal cannot be judged."""
    request = record.request
    tester = LoadTester(record, progress, workers)
    found = [Capacity(each, {}, request.limits) for each in subjects(request.experiment)]
    while any(each.next_load is not None for each in found):
        for index, each in enumerate(found):
            if (load := each.next_load) is not None:
                found[index] = each.with_point(tester.point(each.subject, load))
                record.write(as_document(found, request.goals))
    return found


@dataclass(frozen=True)
class LoadTester:
    """Tests loads of a search."""

    record: CapacityRecord
    progress: Progress
    workers: int = 1

    def point(self, subject: Subject, load: float) -> Point:
        """Run the cells of a point that are missing, and judge it."""
        run, request = self.record.run_at(load), self.record.request
        experiment = subject.alone(Experiment.model_validate(run.experiment))
        runner = Runner(experiment, run, self.progress, conditions=self._conditions)
        runner.execute(self.workers)
        cells = [cell for cell in run.cells() if (cell.system, cell.workload) == subject.key]
        point = point_of(load, cells, request.parsed, request.answered)
        self.progress.say(f"{subject.title} at load {load:g}: {_told(point)}")
        return point

    @cached_property
    def _conditions(self) -> Conditions:
        """The conditions of all loads, measured before the first cell."""
        experiment = self.record.request.experiment
        context = RunContext(experiment, Run(self.record.path, {}), self.progress)
        return cache(MODES[experiment.mode].executor(context).conditions)


def _told(point: Point) -> str:
    passed = "passes" if point.outcome.feasible else f"fails, {'; '.join(point.bound_by)}"
    return f"{point.requests_per_s:.3g} requests/s, {passed}"
