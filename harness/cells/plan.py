"""Plans the cells of an experiment, in their run order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.axes import Point, point_name
from harness.choices import DeploymentChoice, SystemChoice, WorkloadChoice
from harness.experiment import Experiment


@dataclass(frozen=True, slots=True)
class CellPlan:
    """The inputs of one cell, at ``point`` of the experiment's sweep; without one it is empty."""

    system: SystemChoice
    workload: WorkloadChoice
    deployment: DeploymentChoice
    seed: int
    repeat: int
    point: Point

    @property
    def load(self) -> str:
        """The workload's label and the point: cells of different points have different loads."""
        return load_name(self.workload, self.point)

    @property
    def path(self) -> Path:
        """The cell's folder, relative to the run's folder."""
        suffix = f"-r{self.repeat}" if self.repeat else ""
        return Path(self.system.label) / self.load / f"{self.seed}{suffix}"

    @property
    def title(self) -> str:
        return f"{self.system.label} under {self.load}, seed {self.seed}"


def load_name(workload: WorkloadChoice, point: Point) -> str:
    """Name a workload at a point."""
    return f"{workload.label}@{point_name(point)}" if point else workload.label


def plan_cells(experiment: Experiment) -> Iterator[CellPlan]:
    """Yield every cell. The order of the systems is drawn again per load, seed and repeat."""
    there = list(experiment.points())
    for repeat in range(experiment.repeats):
        for seed in experiment.seeds:
            for point, at in there:
                yield from _planned(at, point, seed, repeat)


def _planned(at: Experiment, point: Point, seed: int, repeat: int) -> Iterator[CellPlan]:
    from workloads.streams import stream

    for workload in at.workloads:
        turns = stream(seed, "order", at.name, load_name(workload, point), repeat)
        for index in turns.permutation(len(at.systems)):
            yield CellPlan(at.systems[index], workload, at.deployment, seed, repeat, point)


def samples(experiment: Experiment) -> Iterator[CellPlan]:
    """Yield few cells that include, at every point, every system and every workload. Checking them
    finds every mistake that a simulated cell can have."""
    seed = experiment.seeds[0]
    for point, at in experiment.points():
        first = at.workloads[0]
        for system in at.systems:
            yield CellPlan(system, first, at.deployment, seed, 0, point)
        for workload in at.workloads[1:]:
            yield CellPlan(at.systems[0], workload, at.deployment, seed, 0, point)
