"""An experiment at another load: the same requests, sent faster or slower."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..choices import SystemChoice, WorkloadChoice
from ..errors import HarnessError
from ..experiment import Experiment

_SCALE = "time_scale"


@dataclass(frozen=True, slots=True)
class Subject:
    """What has a capacity: a system under a workload."""

    system: SystemChoice
    workload: WorkloadChoice

    @property
    def key(self) -> tuple[str, str]:
        return self.system.label, self.workload.label

    @property
    def title(self) -> str:
        return f"{self.system.label} under {self.workload.label}"

    def alone(self, experiment: Experiment) -> Experiment:
        """Return ``experiment`` with this system and workload only."""
        label = self.system.label
        system = [each for each in experiment.systems if each.label == label]
        workload = [each for each in experiment.workloads if each.label == self.workload.label]
        return experiment.model_copy(
            update={"systems": tuple(system), "workloads": tuple(workload), "baseline": None}
        )


def subjects(experiment: Experiment) -> Iterator[Subject]:
    """Yield every system under every workload. Raise ``HarnessError`` for a sweep, whose points
    would be loads of their own, and for a closed loop."""
    if experiment.sweep:
        raise HarnessError(
            f"{experiment.name} has a sweep, which a search for capacities cannot follow; list its"
            " systems or workloads under labels, and leave it out by --set 'sweep=[]'"
        )
    closed = next((each.label for each in experiment.workloads if each.loop), None)
    if closed is not None:
        raise HarnessError(
            f"workload {closed} has users, whose number is its load; a search for capacities raises"
            " the rate of an open load: leave users out, or sweep workloads.users"
        )
    for workload in experiment.workloads:
        for system in experiment.systems:
            yield Subject(system, workload)


def at_load(experiment: Experiment, load: float) -> Experiment:
    """Return ``experiment`` with every workload's time scale multiplied by ``load``."""
    workloads = tuple(_scaled(each, load) for each in experiment.workloads)
    return experiment.model_copy(update={"workloads": workloads})


def _scaled(workload: WorkloadChoice, load: float) -> WorkloadChoice:
    scale = workload.overrides.get(_SCALE, 1.0) * load
    return workload.model_copy(update={"overrides": {**workload.overrides, _SCALE: scale}})
