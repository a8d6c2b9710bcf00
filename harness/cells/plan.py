"""Plans the cells of an experiment, in their run order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.experiment import Experiment, SystemChoice, WorkloadChoice


@dataclass(frozen=True, slots=True)
class CellPlan:
    """The inputs of one cell."""

    system: SystemChoice
    workload: WorkloadChoice
    seed: int
    repeat: int

    @property
    def path(self) -> Path:
        """The cell's folder, relative to the run's folder."""
        suffix = f"-r{self.repeat}" if self.repeat else ""
        return Path(self.system.label) / self.workload.label / f"{self.seed}{suffix}"

    @property
    def title(self) -> str:
        return f"{self.system.label} under {self.workload.label}, seed {self.seed}"


def plan_cells(experiment: Experiment) -> Iterator[CellPlan]:
    """Yield every cell. The order of the systems is drawn again per workload, seed and repeat."""
    from workloads.streams import stream

    for repeat in range(experiment.repeats):
        for seed in experiment.seeds:
            for workload in experiment.workloads:
                turns = stream(seed, "order", experiment.name, workload.label, repeat)
                for index in turns.permutation(len(experiment.systems)):
                    yield CellPlan(experiment.systems[index], workload, seed, repeat)


def samples(experiment: Experiment) -> Iterator[CellPlan]:
    """Yield few cells that include every system and every workload. Checking them finds every
    mistake that a simulated cell can have."""
    seed, first = experiment.seeds[0], experiment.workloads[0]
    for system in experiment.systems:
        yield CellPlan(system, first, seed, 0)
    for workload in experiment.workloads[1:]:
        yield CellPlan(experiment.systems[0], workload, seed, 0)
