"""A cell before and after its run: ready to run, and its observations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from systems.interface import Deployment, ServingSystem, SystemTrace

from .plan import CellPlan
from .sample import Sample

if TYPE_CHECKING:
    import pyarrow as pa

    from harness.replay import Schedule
    from harness.replay.hosts import LoadHost
    from workloads.trace import Workload


@dataclass(frozen=True)
class Prepared:
    """A cell that is ready to run: all input of the user has been checked."""

    plan: CellPlan
    workload: Workload
    schedule: Schedule
    deployment: Deployment
    system: ServingSystem

    @property
    def load_s(self) -> float:
        """Seconds until the last request is due; 0 for a closed loop, which takes what it takes."""
        return self.schedule.duration_ns / 1e9 if self.plan.workload.loop is None else 0.0


@dataclass(frozen=True)
class Seen:
    """The observations of a cell, with times relative to the run's start: the client's table, the
    system trace, memory samples from outside."""

    client: pa.Table
    schedule_sha256: str
    system_trace: SystemTrace
    samples: list[Sample] = field(default_factory=list)
    telemetry: Mapping[str, Any] | None = None
    start_ns: int = 0
    """Start of the run on the clock of ``samples``."""
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    """Conditions of the machine that question the cell but do not make it invalid."""
    hosts: tuple[LoadHost, ...] = ()
    """Other hosts that sent load."""
