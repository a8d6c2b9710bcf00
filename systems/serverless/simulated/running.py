"""State of a simulated platform: requests, instances and backbone copies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from systems.interface import Activity, Decision, MemoryStep, Span
from systems.runtime.stages import Timeline
from systems.simulation.latency_model import LatencyModel
from systems.simulation.work import Work
from systems.simulation.worker import Worker

from ..core.artifacts import GONE, CopyKey, Residency
from ..core.cluster_spec import GroupSpec
from .adapters import AdapterLoad


@dataclass(slots=True, eq=False)
class Call:
    """A request in the platform."""

    work: Work
    function: str
    received_ns: int
    status: str = "waiting"
    instance: int | None = None
    batch_size: int | None = None
    started_for_it: bool = False
    """Its instance was started while it waited."""
    spans: tuple[Span, ...] = ()
    """The stages that it waited for before its prefill."""

    @property
    def waits(self) -> bool:
        """Whether it may time out: it has neither failed nor its first token."""
        return self.status == "waiting" and not self.work.first_ns


@dataclass(slots=True, eq=False)
class Process:
    """A simulated instance."""

    id: int
    device: str
    latency: LatencyModel
    group: GroupSpec
    worker: Worker
    copy: CopyKey | None = None
    timeline: Timeline = field(default_factory=Timeline.empty)
    residency: Residency = GONE
    """What remained at its last offloading."""
    up_ns: int = 0
    last_ready_ns: int = 0
    stopping: bool = False
    prewarmed_process: bool = False
    """It was a prewarmed process and does not serve yet."""
    adapters: dict[str, AdapterLoad] = field(default_factory=dict)
    """By function: what is in its places or being loaded into them."""

    @property
    def drawn_for(self) -> str:
        """Whose durations are drawn: a function's, at every isolation level the same one's."""
        return self.group.functions[0]

    def ready_ns(self, function: str) -> int:
        """Return when what a request of ``function`` needs was complete."""
        own = self.adapters.get(function)
        return max(self.last_ready_ns, own.ended_ns) if own else self.last_ready_ns

    def drop_adapters(self) -> None:
        """Free all places."""
        for load in self.adapters.values():
            load.drop()
        self.adapters.clear()


@dataclass(slots=True, eq=False)
class Copy:
    timeline: Timeline = field(default_factory=Timeline.empty)
    dropped: bool = False
    loaded: bool = False
    waiting: list[Callable[[bool], None]] = field(default_factory=list)
    """Begins the loading of copies that are made from this one; False: from the checkpoint."""


@dataclass(slots=True)
class KeptTrace:
    """The parts of a system trace that grow while a platform runs, in order of time."""

    memory_steps: list[MemoryStep] = field(default_factory=list)
    activities: list[Activity] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    def memory(self, step: MemoryStep) -> None:
        self.memory_steps.append(step)

    def activity(self, activity: Activity) -> None:
        self.activities.append(activity)

    def decision(self, decision: Decision) -> None:
        self.decisions.append(decision)
