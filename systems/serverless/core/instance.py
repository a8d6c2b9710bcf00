"""An instance: a process of a group, its artifacts, its requests and its adapters."""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field

from systems.interface import MemoryOwner

from .artifacts import AWAKE, GONE, KERNELS, Artifact, CopyKey, Residency
from .cluster_spec import FunctionSpec, GroupSpec
from .estimates import Rate
from .memory import Holding, Holdings
from .prefill import Prefill
from .waiting import Request


class Phase(enum.Enum):
    """The phase of an instance."""

    STARTING = enum.auto()
    """Its process is starting or its artifacts are being loaded."""
    READY = enum.auto()
    """It can serve requests."""
    OFFLOADING = enum.auto()
    """It is releasing artifacts and will then be asleep."""
    ASLEEP = enum.auto()
    """Its process lives and holds only part of its artifacts; it must be woken to serve."""
    STOPPING = enum.auto()


STARTING, READY, OFFLOADING, ASLEEP, STOPPING = Phase
"""The phases by name: Python 3.11 takes ten times as long to find a member in its class."""


@dataclass(slots=True, eq=False)
class Place:
    """A place of an instance and the adapter in it. ``rate``: of its function's requests.
    ``running``: the running requests that use it."""

    function: str
    rate: Rate
    asked_ns: int
    used_ns: int
    loaded: bool = False
    running: int = 0


@dataclass(slots=True, eq=False)
class Instance:
    """A process of a group, from the decision to start it until it is gone."""

    id: int
    group: GroupSpec
    device: str
    copy: CopyKey
    forked: bool
    inherited: Residency = GONE
    """The artifacts that its process has from the start: those of its template."""
    takes: int | None = None
    """The instance whose process it takes over; None: it has a process of its own."""
    phase: Phase = STARTING
    asked: bool = False
    """Its process was requested; ``started`` is set once it is up."""
    asked_ns: int = 0
    started: bool = False
    goal: Residency = AWAKE
    """The artifacts to load while it starts; not all of them for a partial pre-load."""
    in_place: set[Artifact] = field(default_factory=set)
    loading: Artifact | None = None
    loading_since_ns: int = 0
    new_ns: int | None = None
    """How long its new process has taken, without waits for the backbone and for its adapter; None:
    it is not new."""
    prewarmed: bool = False
    """Whether the process that it starts or wakes with is of the warm pool, as far as is known."""
    running: dict[int, Request] = field(default_factory=dict)
    running_kv_bytes: int = 0
    prefilling: Prefill | None = None
    prefilled_ns: int = 0
    """When its last prefill since it was ready ended; 0: there was none."""
    places: dict[str, Place] = field(default_factory=dict)
    """By function: the adapters in its places; empty if its group has none."""
    wanted: deque[str] = field(default_factory=deque)
    """The functions whose adapters are to be loaded into free places, most wanted first."""
    prepared: set[str] = field(default_factory=set)
    """The functions whose adapters were prepared for its present start."""
    prepared_until: int = 0
    """The turn of its group's queue until which it was decided whether to prepare an adapter."""
    places_timer: bool = False
    idle_since_ns: int = 0
    timer_set: bool = False
    leaving_bytes: int = 0
    """The bytes that it will release, once it was told to."""

    holdings: Holdings = field(init=False)
    """Its own holdings on the device; its copy holds the backbone."""
    on_host: Holding = field(init=False)

    def __post_init__(self) -> None:
        self.holdings = Holdings.of(self.id, self.group.id)
        self.on_host = Holding(MemoryOwner.HOST_TIER, self.id, self.group.id)

    @property
    def missing(self) -> Artifact | None:
        """The next artifact by precedence that its goal includes and it lacks, or None."""
        artifacts = self.group.artifacts
        return next((a for a in artifacts if a in self.goal and a not in self.in_place), None)

    @property
    def busy(self) -> bool:
        """True also while its batch is in its prefill although all requests were cancelled."""
        return bool(self.running) or self.prefilling is not None

    @property
    def takes_batches(self) -> bool:
        """Whether requests can be sent to it: as a batch, or to one that it has not begun."""
        return self.prefilling is None or self.prefilling.open

    def prefills(self, batch: int | None) -> bool:
        """Whether ``batch`` is in its prefill here."""
        return self.prefilling is not None and self.prefilling.batch == batch

    @property
    def idle(self) -> bool:
        return self.phase is READY and not self.busy

    @property
    def to_serve(self) -> bool:
        """Whether its goal is to serve: kernels are the last artifact."""
        return KERNELS in self.goal

    @property
    def serving(self) -> bool:
        """Whether it serves or will serve without a further decision."""
        return self.phase is READY or (self.phase is STARTING and self.to_serve)

    @property
    def wakeable(self) -> bool:
        """Whether it could serve if the artifacts it lacks were loaded."""
        return self.phase is ASLEEP or (self.phase is STARTING and not self.to_serve)

    @property
    def places_settled(self) -> bool:
        """Whether no adapter is being loaded into its places."""
        return all(place.loaded for place in self.places.values())

    @property
    def room(self) -> int:
        """The number of requests that it can run in addition."""
        if self.running and not self.group.joins:
            return 0
        return self.group.batch_limit - len(self.running)

    def can_run(self, function: FunctionSpec) -> bool:
        """Whether the adapter of ``function`` is in place, or none is needed."""
        if not self.group.places or not function.adapter_bytes:
            return True
        place = self.places.get(function.id)
        return place is not None and place.loaded

    def begin(self, request: Request) -> None:
        """Add a running request."""
        self.running[request.id] = request
        self.running_kv_bytes += request.kv_bytes
        if request.function in self.places:
            self.places[request.function].running += 1

    def end(self, request: Request, now_ns: int) -> None:
        """Remove a running request."""
        del self.running[request.id]
        self.running_kv_bytes -= request.kv_bytes
        place = self.places.get(request.function)
        if place is not None:
            place.running -= 1
            place.used_ns = now_ns
