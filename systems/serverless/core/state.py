"""What a controller knows at this moment: devices, backbone copies, instances, requests."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from systems.interface import MemoryOwner

from .artifacts import AWAKE, PRECEDENCE, Artifact, CopyKey, Residency
from .cluster_spec import HOST, ClusterSpec, DeviceSpec, FunctionSpec
from .estimates import Estimates, Rate
from .memory import Holding, MemoryLedger
from .policy import Notices

_ON_DEVICE = (MemoryOwner.CONTEXT, MemoryOwner.ADAPTERS, MemoryOwner.KV)
_ON_HOST = MemoryOwner.HOST_TIER


class Phase(enum.Enum):
    """Of an instance."""

    STARTING = enum.auto()
    """Its process or artifacts are on the way."""
    READY = enum.auto()
    """It can serve."""
    OFFLOADING = enum.auto()
    """It gives artifacts back, to be asleep."""
    ASLEEP = enum.auto()
    """Its process lives and keeps what its residency says; it must be woken to serve."""
    STOPPING = enum.auto()


class TemplatePhase(enum.Enum):
    ABSENT = enum.auto()
    STARTING = enum.auto()
    READY = enum.auto()


@dataclass(slots=True, eq=False)
class Request:
    """A request that is waiting (``instance`` is None) or running."""

    id: int
    function: str
    kv_bytes: int
    arrived_ns: int
    instance: int | None = None
    batch: int | None = None
    """The one that it was, or is being, prefilled in."""
    cancelled: bool = False
    """Its instance was told to forget it."""


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
    goal: Residency = AWAKE
    """What it is being given while it starts; less than all where it is pre-loaded in part."""
    in_place: set[Artifact] = field(default_factory=set)
    loading: Artifact | None = None
    loading_since_ns: int = 0
    running: dict[int, Request] = field(default_factory=dict)
    running_kv_bytes: int = 0
    prefilling: int | None = None
    """The batch that has no first tokens yet, of ``prefilling_size`` requests."""
    prefilling_size: int = 0
    prefilling_since_ns: int = 0
    slowed: float = 1.0
    """How much longer than alone its prefill was to take, when it began."""
    idle_since_ns: int = 0
    timer_set: bool = False
    leaving_bytes: int = 0
    """What it will give back, once it was told to."""

    _holding: dict[MemoryOwner, Holding] = field(init=False)

    def __post_init__(self) -> None:
        self._holding = {o: Holding(o, self.id, self.function.id) for o in (*_ON_DEVICE, _ON_HOST)}

    def holding(self, owner: MemoryOwner) -> Holding:
        return self._holding[owner]

    @property
    def holdings(self) -> tuple[Holding, ...]:
        """All that is its own on the device; the backbone is held by its copy."""
        return tuple(self._holding[owner] for owner in _ON_DEVICE)

    @property
    def missing(self) -> Artifact | None:
        """The next artifact by precedence that its goal wants, or None where all are in place."""
        return next((a for a in PRECEDENCE if a in self.goal and a not in self.in_place), None)

    @property
    def busy(self) -> bool:
        """A batch may be in its prefill although all its requests were cancelled."""
        return bool(self.running) or self.prefilling is not None

    @property
    def idle(self) -> bool:
        return self.phase is Phase.READY and not self.busy

    @property
    def serving(self) -> bool:
        """Serves, or will without anything more being decided."""
        return self.phase is Phase.READY or (self.phase is Phase.STARTING and self.goal == AWAKE)

    @property
    def wakeable(self) -> bool:
        """Could serve if it were given what it lacks."""
        return self.phase is Phase.ASLEEP or (self.phase is Phase.STARTING and self.goal != AWAKE)


@dataclass(slots=True, eq=False)
class BackboneCopy:
    """A resident copy and the instances that map it (or the one that owns it)."""

    key: CopyKey
    bytes: int
    loaded: bool = False
    load: int | None = None
    """The loading of it that was asked for last; no other is believed."""
    asked_ns: int = 0
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
    resting: set[int] = field(default_factory=set)
    """Ids of the instances that policies were told rest."""
    leaving_bytes: int = 0
    """What instances that were told to stop or to offload will give back."""
    prefilling: int = 0
    """M: how many batches are in their prefill here."""
    hold_until_ns: int | None = None
    """When the first of what batching holds back expires, where a timer is set for it."""

    @property
    def at_work(self) -> int:
        """Instances that run requests or are on their way to: all but the resting."""
        return len(self.instances) - len(self.resting)

    def slowdown(self, batches: int) -> float:
        """The M of T_eff = M·T for so many batches in their prefill at once: on a device of one
        slot their number."""
        return max(1.0, batches / self.spec.slots)


@dataclass(slots=True, eq=False)
class Host:
    """A machine: what its instances share beside devices."""

    template: TemplatePhase = TemplatePhase.ABSENT
    template_device: str | None = None
    """Where the template's bytes are held, while they are."""
    dormant_bytes: int = 0
    """Of its memory, held by instances of which nothing is on a device."""


MemoryWatcher = Callable[[str, Holding, int], None]
"""Told the device, the holding and its new size in bytes whenever a ledger changes."""

Explain = Callable[[str, dict[str, Any]], None]
"""Told what kind of decision was made, and the numbers that made it."""


class State:
    """All of it, with the indices that keep every decision local."""

    def __init__(
        self,
        cluster: ClusterSpec,
        watch: MemoryWatcher,
        new_rate: Callable[[], Rate],
        notices: Notices,
        explain: Explain | None = None,
    ) -> None:
        self.cluster = cluster
        self.explain = explain
        self._notices = notices
        self._watch = watch
        self.devices: dict[str, Device] = {}
        self.hosts: dict[str, Host] = {}
        self.add_devices(cluster.devices.values())
        self.host_memory = MemoryLedger(1 << 62, partial(watch, HOST))
        """Of all hosts together."""
        self.copies: dict[CopyKey, BackboneCopy] = {}
        self.homes: dict[str, dict[str, None]] = {}
        """By backbone, the devices that hold a shared copy of it."""
        self.instances: dict[int, Instance] = {}
        self.of_function: dict[str, dict[int, Instance]] = {}
        self.requests: dict[int, Request] = {}
        self.queues: dict[str, dict[int, Request]] = {}
        self.blocked_on: dict[str, str] = {}
        """By function that waits for memory, the device it waits at."""
        self._estimates: dict[str, Estimates] = {}
        self._new_rate = new_rate

    def queue(self, function: str) -> dict[int, Request]:
        """Requests of ``function`` that wait, oldest first."""
        found = self.queues.get(function)
        if found is None:
            found = self.queues[function] = {}
        return found

    def waited_ns(self, function: str, now_ns: int) -> int:
        """For how long the oldest request that waits for ``function`` has; 0 where none does."""
        queue = self.queue(function)
        return now_ns - next(iter(queue.values())).arrived_ns if queue else 0

    def estimates(self, function: str) -> Estimates:
        """What was learnt of ``function``."""
        found = self._estimates.get(function)
        if found is None:
            spec = self.cluster.functions[function]
            found = self._estimates[function] = Estimates(spec, self._new_rate())
        return found

    def serving(self, function: str) -> list[Instance]:
        """The instances that serve ``function``, or will once they have started."""
        return [i for i in self.of_function.get(function, {}).values() if i.serving]

    def wakeable(self, function: str) -> Instance | None:
        """An instance of ``function`` that lives and lacks artifacts: the one that lacks least."""
        found = [i for i in self.of_function.get(function, {}).values() if i.wakeable]
        return max(found, key=lambda i: len(i.in_place), default=None)

    def offloading(self, function: str) -> bool:
        """Whether an instance of ``function`` is on its way to sleep."""
        instances = self.of_function.get(function, {}).values()
        return any(i.phase is Phase.OFFLOADING for i in instances)

    def at_rest(self, instance: Instance) -> bool:
        """Whether ``instance`` may give way: it is idle and no request waits for it, or asleep and
        not the first that its device will wake. What waits behind the first gives way to it, or
        both would wait for good."""
        if instance.phase is Phase.ASLEEP:
            return next(iter(self.devices[instance.device].blocked), None) != instance.function.id
        return instance.idle and not self.queues.get(instance.function.id)

    def add_devices(self, specs: Iterable[DeviceSpec]) -> None:
        """Devices that are there from now on, and their hosts."""
        for spec in specs:
            ledger = MemoryLedger(spec.memory_bytes, partial(self._watch, spec.id))
            self.devices[spec.id] = Device(spec, ledger)
            self.hosts.setdefault(spec.host, Host())

    def remove_device(self, device: Device) -> None:
        """Remove ``device``, whose instances and copies were removed before."""
        del self.devices[device.spec.id]
        for tell in self._notices.device_left:
            tell(device.spec.id)

    def devices_of(self, host: str) -> list[Device]:
        return [device for device in self.devices.values() if device.spec.host == host]

    def host_of(self, instance: Instance) -> Host:
        return self.hosts[self.devices[instance.device].spec.host]

    def add_instance(self, instance: Instance) -> None:
        self.instances[instance.id] = instance
        self.of_function.setdefault(instance.function.id, {})[instance.id] = instance
        self.devices[instance.device].instances[instance.id] = instance

    def remove_instance(self, instance: Instance) -> None:
        del self.instances[instance.id]
        del self.of_function[instance.function.id][instance.id]
        device = self.devices[instance.device]
        del device.instances[instance.id]
        self.leave_rest(instance)
        self.not_waiting(instance)

    def rest(self, instance: Instance, now_ns: int) -> None:
        """Tell policies that ``instance`` is idle or asleep, or is to be weighed again."""
        self.devices[instance.device].resting.add(instance.id)
        for tell in self._notices.rested:
            tell(instance, self, now_ns)

    def leave_rest(self, instance: Instance) -> None:
        """Tell policies that ``instance`` no longer rests, if it did."""
        resting = self.devices[instance.device].resting
        if instance.id in resting:
            resting.remove(instance.id)
            for tell in self._notices.left_rest:
                tell(instance)

    def not_waiting(self, instance: Instance) -> None:
        device = self.devices[instance.device]
        device.waiting.pop(instance.id, None)
        device.starved.pop(instance.id, None)

    def add_copy(self, copy: BackboneCopy) -> None:
        self.copies[copy.key] = copy
        if copy.key.shared:
            self.homes.setdefault(copy.key.backbone, {})[copy.key.device] = None

    def remove_copy(self, copy: BackboneCopy) -> None:
        del self.copies[copy.key]
        if copy.key.shared:
            del self.homes[copy.key.backbone][copy.key.device]

    def shared_copies_on(self, device: str) -> Iterator[BackboneCopy]:
        for backbone in self.cluster.backbones:
            copy = self.copies.get(CopyKey(backbone, device))
            if copy is not None:
                yield copy

    def block(self, function: str, device: Device) -> None:
        """``function`` waits for memory on ``device``, in turn."""
        before = self.blocked_on.get(function)
        if before is not None and before != device.spec.id:
            del self.devices[before].blocked[function]
        device.blocked.setdefault(function)
        self.blocked_on[function] = device.spec.id

    def unblock(self, function: str) -> None:
        before = self.blocked_on.pop(function, None)
        if before is not None:
            del self.devices[before].blocked[function]

    def note(self, kind: str, **numbers: Any) -> None:
        """Tell whoever wants decisions explained; callers ask ``explain`` first where the numbers
        themselves cost something."""
        if self.explain is not None:
            self.explain(kind, numbers)
