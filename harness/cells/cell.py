"""A cell on its way to its records: ready to run, and what was seen of it."""

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
    """A cell ready to run: nothing that the user could have got wrong is left to go wrong."""

    plan: CellPlan
    workload: Workload
    schedule: Schedule
    deployment: Deployment
    system: ServingSystem


@dataclass(frozen=True)
class Seen:
    """All that was seen of a cell, times counted from the run's start: the client's table, the
    system's evidence, samples from outside."""

    client: pa.Table
    schedule_sha256: str
    system_trace: SystemTrace
    samples: list[Sample] = field(default_factory=list)
    telemetry: Mapping[str, Any] | None = None
    start_ns: int = 0
    """Of the run, on the clock of ``samples``."""
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    """Reasons to question the cell that the machine gives; they do not make it invalid."""
    hosts: tuple[LoadHost, ...] = ()
    """Others that load came from."""
