"""The state of a controller: devices, backbone copies, instances, requests."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from systems.interface import MemoryOwner

from .artifacts import AWAKE, GONE, Artifact, CopyKey, Residency
from .cluster_spec import HOST, ClusterSpec, DeviceSpec, FunctionSpec, GroupSpec
from .contention import Contention
from .estimates import Estimates, Rate, ServiceTime
from .memory import Holding, MemoryLedger
from .policy import Notices
from .prefill import Prefill
from .waiting import Request, WaitingRequests

_ON_DEVICE = (MemoryOwner.CONTEXT, MemoryOwner.ADAPTERS, MemoryOwner.KV)
_ON_HOST = MemoryOwner.HOST_TIER


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


class TemplatePhase(enum.Enum):
    ABSENT = enum.auto()
    STARTING = enum.auto()
    READY = enum.auto()


@dataclass(slots=True, eq=False)
class Place:
    """A place of an instance and the adapter in it. ``running``: the running requests that use
    it."""

    function: str
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
    phase: Phase = Phase.STARTING
    asked: bool = False
    """Its process was requested; ``started`` is set once it is up."""
    started: bool = False
    goal: Residency = AWAKE
    """The artifacts to load while it starts; not all of them for a partial pre-load."""
    in_place: set[Artifact] = field(default_factory=set)
    loading: Artifact | None = None
    loading_since_ns: int = 0
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
    places_timer: bool = False
    idle_since_ns: int = 0
    timer_set: bool = False
    leaving_bytes: int = 0
    """The bytes that it will release, once it was told to."""

    _holding: dict[MemoryOwner, Holding] = field(init=False)

    def __post_init__(self) -> None:
        group = self.group.id
        self._holding = {o: Holding(o, self.id, group) for o in (*_ON_DEVICE, _ON_HOST)}

    def holding(self, owner: MemoryOwner) -> Holding:
        return self._holding[owner]

    @property
    def holdings(self) -> tuple[Holding, ...]:
        """Its own holdings on the device; its copy holds the backbone."""
        return tuple(self._holding[owner] for owner in _ON_DEVICE)

    @property
    def missing(self) -> Artifact | None:
        """The next artifact by precedence that its goal includes and it lacks, or None."""
        artifacts = self.group.artifacts
        return next((a for a in artifacts if a in self.goal and a not in self.in_place), None)

    @property
    def busy(self) -> bool:
        """True also while its batch is in its prefill although all requests were cancelled."""
        return bool(self.running) or self.prefilling is not None

    def prefills(self, batch: int | None) -> bool:
        """Whether ``batch`` is in its prefill here."""
        return self.prefilling is not None and self.prefilling.batch == batch

    @property
    def idle(self) -> bool:
        return self.phase is Phase.READY and not self.busy

    @property
    def to_serve(self) -> bool:
        """Whether its goal is to serve: kernels are the last artifact."""
        return Artifact.KERNELS in self.goal

    @property
    def serving(self) -> bool:
        """Whether it serves or will serve without a further decision."""
        return self.phase is Phase.READY or (self.phase is Phase.STARTING and self.to_serve)

    @property
    def wakeable(self) -> bool:
        """Whether it could serve if the artifacts it lacks were loaded."""
        return self.phase is Phase.ASLEEP or (self.phase is Phase.STARTING and not self.to_serve)

    @property
    def places_settled(self) -> bool:
        """Whether no adapter is being loaded into its places."""
        return all(place.loaded for place in self.places.values())

    @property
    def room(self) -> int:
        """The number of requests that it can run in addition."""
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


@dataclass(slots=True, eq=False)
class BackboneCopy:
    """A copy of a backbone and the instances that map it (or the one that owns it)."""

    key: CopyKey
    bytes: int
    """Freed with it: its weights, and its warm pool's ``pool_bytes``."""
    pool_bytes: int = 0
    loaded: bool = False
    load: int | None = None
    """The loading that was requested last; events of other loadings are ignored."""
    asked_ns: int = 0
    source: CopyKey | None = None
    """The copy that this loading copies; None: it reads the checkpoint."""
    loaded_ns: int = 0
    users: set[int] = field(default_factory=set)
    unused_since_ns: int = 0
    owner_group: str | None = None
    """The group of the instance that owns it; None if instances share it."""

    def copied_since_ns(self, source: BackboneCopy | None) -> int:
        """Return since when it is being copied from ``source``, which may have been loaded later
        than it was asked for; from None: since it was asked for."""
        return max(self.asked_ns, source.loaded_ns if source else 0)

    @property
    def holdings(self) -> dict[Holding, int]:
        """What it holds on its device, and for what."""
        weights = Holding(MemoryOwner.WEIGHTS, self.key, self.owner_group)
        pool = Holding(MemoryOwner.CONTEXT, self.key, None)
        return {weights: self.bytes - self.pool_bytes, pool: self.pool_bytes}


@dataclass(slots=True, eq=False)
class Device:
    """A device, its memory ledger and its instances."""

    spec: DeviceSpec
    memory: MemoryLedger
    instances: dict[int, Instance] = field(default_factory=dict)
    waiting: dict[int, Instance] = field(default_factory=dict)
    """Ready instances whose group has waiting requests, in the order they began to wait."""
    starved: dict[int, Instance] = field(default_factory=dict)
    """The same, but the KV cache of their next request does not fit now."""
    blocked: dict[str, None] = field(default_factory=dict)
    """Groups that cannot be started here for lack of memory, first come first."""
    resting: set[int] = field(default_factory=set)
    """Ids of the idle and sleeping instances, as policies were notified."""
    leaving_bytes: int = 0
    """The bytes that instances told to stop or offload will release."""
    prefilling: int = 0
    """The number of batches in their prefill here."""
    hold_until_ns: int | None = None
    """When the first batch that is held back is due, if a timer is set for it."""
    contention: Contention = field(init=False)

    def __post_init__(self) -> None:
        self.contention = Contention(self.spec.slots)

    @property
    def at_work(self) -> int:
        """The number of instances that run requests or will: all that are not in ``resting``."""
        return len(self.instances) - len(self.resting)

    def slowdown(self, instances: int) -> float:
        """Return M of T_eff = M·T for this many instances at work."""
        return self.contention.slowdown(instances)


@dataclass(slots=True, eq=False)
class Host:
    """A machine: what its instances share in addition to devices."""

    template: TemplatePhase = TemplatePhase.ABSENT
    template_device: str | None = None
    """The device that holds the template's bytes, if one does."""
    dormant_bytes: int = 0
    """Host memory of the instances that hold nothing on a device."""


MemoryWatcher = Callable[[str, Holding, int], None]
"""Called with device, holding and its new size in bytes whenever a ledger changes."""

Explain = Callable[[str, dict[str, Any]], None]
"""Called with the kind of a decision and the numbers it was based on."""


class State:
    """The whole state, with indices so that no decision has to search all of it."""

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
        self._of_host: dict[str, dict[str, Device]] = {}
        self.add_devices(cluster.devices.values())
        self.host_memory = MemoryLedger(1 << 62, partial(watch, HOST))
        """The memory held on all hosts together, without a limit."""
        self.copies: dict[CopyKey, BackboneCopy] = {}
        self.homes: dict[str, dict[str, None]] = {}
        """By backbone: the devices that hold a shared copy of it."""
        self.instances: dict[int, Instance] = {}
        self.of_group: dict[str, dict[int, Instance]] = {}
        self.requests: dict[int, Request] = {}
        self.queues: dict[str, WaitingRequests] = {}
        self.failing: set[str] = set()
        """Functions whose adapters could not be loaded the last time; they are not preloaded."""
        self.blocked_on: dict[str, str] = {}
        """By group that waits for memory: the device that it waits for."""
        self._estimates: dict[str, Estimates] = {}
        self._rates: dict[str, Rate] = {}
        self._services: dict[str, ServiceTime] = {}
        """By backbone."""
        self._new_rate = new_rate

    def queue(self, group: str) -> WaitingRequests:
        """Return the waiting requests of ``group``."""
        found = self.queues.get(group)
        if found is None:
            found = self.queues[group] = WaitingRequests()
        return found

    def waited_ns(self, group: str, now_ns: int) -> int:
        """Return how long the oldest request of ``group`` has waited; 0 if none waits."""
        queue = self.queue(group)
        return now_ns - queue.oldest.arrived_ns if queue else 0

    def estimates(self, group: str) -> Estimates:
        """Return the estimates of ``group``."""
        found = self._estimates.get(group)
        if found is None:
            spec = self.cluster.groups[group]
            of_backbone = self._services.setdefault(spec.backbone, ServiceTime())
            found = self._estimates[group] = Estimates(spec, self._new_rate(), of_backbone)
        return found

    def rate_of(self, function: str) -> Rate:
        """Return the request rate of one function of a group that has places."""
        found = self._rates.get(function)
        if found is None:
            found = self._rates[function] = self._new_rate()
        return found

    def called(self, group: GroupSpec, now_ns: int) -> dict[str, float]:
        """Return the request rates of the functions of ``group`` that are called at all."""
        known = ((function, self._rates.get(function)) for function in group.functions)
        rates = ((function, rate.per_second(now_ns)) for function, rate in known if rate)
        return {function: rate for function, rate in rates if rate > 0}

    def serving(self, group: str) -> list[Instance]:
        """Return the instances that serve ``group``, or will once they have started."""
        return [i for i in self.of_group.get(group, {}).values() if i.serving]

    def wakeable(self, group: str) -> Instance | None:
        """Return the instance of ``group`` that can be woken and lacks the fewest artifacts."""
        found = [i for i in self.of_group.get(group, {}).values() if i.wakeable]
        return max(found, key=lambda i: len(i.in_place), default=None)

    def offloading(self, group: str) -> bool:
        """Return whether an instance of ``group`` is offloading."""
        instances = self.of_group.get(group, {}).values()
        return any(i.phase is Phase.OFFLOADING for i in instances)

    def at_rest(self, instance: Instance) -> bool:
        """Return whether ``instance`` may be evicted: it is idle and no request waits for its
        group, or it is asleep and not first in the queue for memory of its device. The first may
        evict those behind it; otherwise all of them would wait forever."""
        if instance.phase is Phase.ASLEEP:
            return next(iter(self.devices[instance.device].blocked), None) != instance.group.id
        return instance.idle and not self.queues.get(instance.group.id)

    def add_devices(self, specs: Iterable[DeviceSpec]) -> None:
        """Add devices and their hosts."""
        for spec in specs:
            ledger = MemoryLedger(spec.memory_bytes, partial(self._watch, spec.id))
            device = self.devices[spec.id] = Device(spec, ledger)
            self._of_host.setdefault(spec.host, {})[spec.id] = device
            self.hosts.setdefault(spec.host, Host())

    def remove_device(self, device: Device) -> None:
        """Remove ``device``, whose instances and copies were removed before."""
        del self.devices[device.spec.id]
        del self._of_host[device.spec.host][device.spec.id]
        for tell in self._notices.device_left:
            tell(device.spec.id)

    def devices_of(self, host: str) -> list[Device]:
        return list(self._of_host.get(host, {}).values())

    def host_of(self, instance: Instance) -> Host:
        return self.hosts[self.devices[instance.device].spec.host]

    def add_instance(self, instance: Instance) -> None:
        self.instances[instance.id] = instance
        self.of_group.setdefault(instance.group.id, {})[instance.id] = instance
        self.devices[instance.device].instances[instance.id] = instance

    def remove_instance(self, instance: Instance) -> None:
        del self.instances[instance.id]
        del self.of_group[instance.group.id][instance.id]
        device = self.devices[instance.device]
        del device.instances[instance.id]
        self.leave_rest(instance)
        self.not_waiting(instance)

    def rest(self, instance: Instance, now_ns: int) -> None:
        """Notify policies that ``instance`` is idle or asleep, or is to be weighed again."""
        self.devices[instance.device].resting.add(instance.id)
        for tell in self._notices.rested:
            tell(instance, self, now_ns)

    def leave_rest(self, instance: Instance) -> None:
        """Notify policies that ``instance`` is no longer idle or asleep, if it was."""
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

    def block(self, group: str, device: Device) -> None:
        """Add ``group`` to the queue for memory of ``device``."""
        before = self.blocked_on.get(group)
        if before is not None and before != device.spec.id:
            del self.devices[before].blocked[group]
        device.blocked.setdefault(group)
        self.blocked_on[group] = device.spec.id

    def unblock(self, group: str) -> None:
        before = self.blocked_on.pop(group, None)
        if before is not None:
            del self.devices[before].blocked[group]

    def note(self, kind: str, **numbers: Any) -> None:
        """Report a decision to ``explain``, if set. Callers test ``explain`` first where computing
        the numbers is costly."""
        if self.explain is not None:
            self.explain(kind, numbers)
