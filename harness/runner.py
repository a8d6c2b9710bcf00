"""Runs an experiment cell by cell: deploy, load, evidence, records, stop.

A cell is one system under one workload with one seed. Systems take turns in an order drawn anew
for each workload and repeat, so that no drift of the machine favours one (measurement rule 13).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from systems.interface import Deployment, ServingSystem
from systems.registry import system_class

from .deployments import deployment_for, function_ids
from .experiment import Experiment, SystemChoice, WorkloadChoice
from .progress import Progress

if TYPE_CHECKING:
    from workloads.trace import Workload

    from .calibration import Calibration
    from .replay import Schedule


@dataclass(frozen=True, slots=True)
class CellPlan:
    """What one cell runs. ``order`` is its turn within the run."""

    system: SystemChoice
    workload: WorkloadChoice
    seed: int
    repeat: int

    @property
    def path(self) -> Path:
        """Its folder within the run's."""
        suffix = f"-r{self.repeat}" if self.repeat else ""
        return Path(self.system.name) / self.workload.label / f"{self.seed}{suffix}"


def plan_cells(experiment: Experiment) -> Iterator[CellPlan]:
    """Every cell, systems in an order drawn anew for each workload, seed and repeat."""
    from workloads.streams import stream

    for repeat in range(experiment.repeats):
        for seed in experiment.seeds:
            for workload in experiment.workloads:
                turns = stream(seed, "order", experiment.name, workload.label, repeat)
                for index in turns.permutation(len(experiment.systems)):
                    yield CellPlan(experiment.systems[index], workload, seed, repeat)
