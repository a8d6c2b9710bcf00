"""What a controller knows at this moment: devices, backbone copies, instances, requests."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from systems.interface import MemoryOwner

from .artifacts import PRECEDENCE, Artifact, CopyKey
from .memory import Holding, MemoryLedger
from .world import DeviceSpec, FunctionSpec, World


class Phase(enum.Enum):
    """Of an instance: its process or artifacts are on the way, it can serve, it is going."""

    STARTING = enum.auto()
    READY = enum.auto()
    STOPPING = enum.auto()


class TemplatePhase(enum.Enum):
    ABSENT = enum.auto()
    STARTING = enum.auto()
    READY = enum.auto()


@dataclass(slots=True)
class Request:
    """A request that is waiting (``instance`` is None) or running."""

    id: int
    function: str
    kv_bytes: int
    arrived_ns: int
    instance: int | None = None


@dataclass(slots=True, eq=False)
class Instance:
    """A live process of a function, from the decision to start it until it is gone."""

    id: int
    function: FunctionSpec
    device: str
    copy: CopyKey
    forked: bool
    phase: Phase = Phase.STARTING
    asked: bool = False
    """Its process was asked for; ``started`` once it is up."""
    started: bool = False
    in_place: set[Artifact] = field(default_factory=set)
    loading: Artifact | None = None
    running: dict[int, Request] = field(default_factory=dict)
    prefilling: int | None = None
    """The batch that has no first tokens yet."""
    idle_since_ns: int = 0
    timer_set: bool = False
    leaving_bytes: int = 0
    """What it will give back, once it was told to stop."""

    def holding(self, owner: MemoryOwner) -> Holding:
        return Holding(owner, self.id, self.function.id)

    @property
    def holdings(self) -> tuple[Holding, ...]:
        """All that is its own on the device; the backbone is held by its copy."""
        owners = (MemoryOwner.CONTEXT, MemoryOwner.ADAPTERS, MemoryOwner.KV)
        return tuple(self.holding(owner) for owner in owners)

    @property
    def missing(self) -> Artifact | None:
        """The next artifact by precedence, or None where all are in place."""
        return next((artifact for artifact in PRECEDENCE if artifact not in self.in_place), None)

    @property
    def idle(self) -> bool:
        return self.phase is Phase.READY and not self.running


@dataclass(slots=True, eq=False)
class BackboneCopy:
    """A resident copy and the instances that map it (or the one that owns it)."""

    key: CopyKey
    bytes: int
    loaded: bool = False
    asked: bool = False
    users: set[int] = field(default_factory=set)
    unused_since_ns: int = 0
    owner_function: str | None = None
    """Whose it is, where it is not shared."""

    @property
    def holding(self) -> Holding:
        return Holding(MemoryOwner.WEIGHTS, self.key, self.owner_function)


@dataclass(slots=True, eq=False)
class Device:
    """A device with its ledger and who lives there."""

    spec: DeviceSpec
    memory: MemoryLedger
    instances: dict[int, Instance] = field(default_factory=dict)
    waiting: dict[int, Instance] = field(default_factory=dict)
    """Ready instances whose function has requests waiting, in the order they came to wait."""
    starved: dict[int, Instance] = field(default_factory=dict)
    """Of those, the ones whose next request's KV cache does not fit now."""
    blocked: dict[str, None] = field(default_factory=dict)
    """Functions that cannot be started here for want of memory, first come first."""
    leaving_bytes: int = 0
    """What instances that were told to stop will give back."""

    @property
    def prefilling(self) -> int:
        """M: how many batches are in their prefill here."""
        return sum(instance.prefilling is not None for instance in self.instances.values())


MemoryWatcher = Callable[[str, Holding, int], None]
"""Told the device, the holding and its new size in bytes whenever a ledger changes."""


class State:
    """All of it, with the indices that keep every decision local."""

    def __init__(self, world: World, watch: MemoryWatcher) -> None:
        self.world = world
        self.devices = {
            spec.id: Device(spec, MemoryLedger(spec.memory_bytes, partial(watch, spec.id)))
            for spec in world.devices.values()
        }
        self.template = TemplatePhase.ABSENT
        self.template_device: str | None = None
        """Where the template's bytes are held, while they are."""
        self.copies: dict[CopyKey, BackboneCopy] = {}
        self.instances: dict[int, Instance] = {}
        self.of_function: dict[str, dict[int, Instance]] = {}
        self.requests: dict[int, Request] = {}
        self.queues: dict[str, dict[int, Request]] = {}

    def queue(self, function: str) -> dict[int, Request]:
        """Requests of ``function`` that wait, oldest first."""
        return self.queues.setdefault(function, {})

    def live(self, function: str) -> Instance | None:
        """The instance that serves ``function``, or will once it has started."""
        instances = self.of_function.get(function, {}).values()
        return next((i for i in instances if i.phase is not Phase.STOPPING), None)

    def add_instance(self, instance: Instance) -> None:
        self.instances[instance.id] = instance
        self.of_function.setdefault(instance.function.id, {})[instance.id] = instance
        self.devices[instance.device].instances[instance.id] = instance

    def remove_instance(self, instance: Instance) -> None:
        del self.instances[instance.id]
        del self.of_function[instance.function.id][instance.id]
        device = self.devices[instance.device]
        del device.instances[instance.id]
        device.waiting.pop(instance.id, None)
        device.starved.pop(instance.id, None)

    def copies_on(self, device: str) -> Iterator[BackboneCopy]:
        return (copy for copy in self.copies.values() if copy.key.device == device)
