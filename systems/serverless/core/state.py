"""The state of a controller: devices, backbone copies, instances, requests."""

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
class Request:
    """A request that is waiting (``instance`` is None) or running."""

    id: int
    function: str
    kv_bytes: int
    arrived_ns: int
    instance: int | None = None
    batch: int | None = None
    """The batch that it is or was prefilled in."""
    cancelled: bool = False
    """Its instance was told to release it."""


@dataclass(slots=True, eq=False)
class Instance:
    """A process of a function, from the decision to start it until it is gone."""

    id: int
    function: FunctionSpec
    device: str
    copy: CopyKey
    forked: bool
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
    prefilling: int | None = None
    """The batch that is in its prefill, of ``prefilling_size`` requests."""
    prefilling_size: int = 0
    prefilling_since_ns: int = 0
    slowed: float = 1.0
    """The factor by which its prefill was expected to be slowed down when it began."""
    idle_since_ns: int = 0
    timer_set: bool = False
    leaving_bytes: int = 0
    """The bytes that it will release, once it was told to."""

    _holding: dict[MemoryOwner, Holding] = field(init=False)

    def __post_init__(self) -> None:
        self._holding = {o: Holding(o, self.id, self.function.id) for o in (*_ON_DEVICE, _ON_HOST)}

    def holding(self, owner: MemoryOwner) -> Holding:
        return self._holding[owner]

    @property
    def holdings(self) -> tuple[Holding, ...]:
        """Its own holdings on the device; its copy holds the backbone."""
        return tuple(self._holding[owner] for owner in _ON_DEVICE)

    @property
    def missing(self) -> Artifact | None:
        """The next artifact by precedence that its goal includes and it lacks, or None."""
        return next((a for a in PRECEDENCE if a in self.goal and a not in self.in_place), None)

    @property
    def busy(self) -> bool:
        """True also while its batch is in its prefill although all requests were cancelled."""
        return bool(self.running) or self.prefilling is not None

    @property
    def idle(self) -> bool:
        return self.phase is Phase.READY and not self.busy

    @property
    def serving(self) -> bool:
        """Whether it serves or will serve without a further decision."""
        return self.phase is Phase.READY or (self.phase is Phase.STARTING and self.goal == AWAKE)

    @property
    def wakeable(self) -> bool:
        """Whether it could serve if the artifacts it lacks were loaded."""
        return self.phase is Phase.ASLEEP or (self.phase is Phase.STARTING and self.goal != AWAKE)


@dataclass(slots=True, eq=False)
class BackboneCopy:
    """A copy of a backbone and the instances that map it (or the one that owns it)."""

    key: CopyKey
    bytes: int
    loaded: bool = False
    load: int | None = None
    """The loading that was requested last; events of other loadings are ignored."""
    asked_ns: int = 0
    users: set[int] = field(default_factory=set)
    unused_since_ns: int = 0
    owner_function: str | None = None
    """The function that owns it, if it is not shared."""

    @property
    def holding(self) -> Holding:
        return Holding(MemoryOwner.WEIGHTS, self.key, self.owner_function)


@dataclass(slots=True, eq=False)
class Device:
    """A device, its memory ledger and its instances."""

    spec: DeviceSpec
    memory: MemoryLedger
    instances: dict[int, Instance] = field(default_factory=dict)
    waiting: dict[int, Instance] = field(default_factory=dict)
    """Ready instances whose function has waiting requests, in the order they began to wait."""
    starved: dict[int, Instance] = field(default_factory=dict)
    """The same, but the KV cache of their next request does not fit now."""
    blocked: dict[str, None] = field(default_factory=dict)
    """Functions that cannot be started here for lack of memory, first come first."""
    resting: set[int] = field(default_factory=set)
    """Ids of the idle and sleeping instances, as policies were notified."""
    leaving_bytes: int = 0
    """The bytes that instances told to stop or offload will release."""
    prefilling: int = 0
    """M: the number of batches in their prefill here."""
    hold_until_ns: int | None = None
    """When the first batch that is held back is due, if a timer is set for it."""

    @property
    def at_work(self) -> int:
        """The number of instances that run requests or will: all that are not in ``resting``."""
        return len(self.instances) - len(self.resting)

    def slowdown(self, batches: int) -> float:
        """Return M of T_eff = M·T for this many batches in their prefill: the number of batches per
        slot, at least 1."""
        return max(1.0, batches / self.spec.slots)


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
        self.add_devices(cluster.devices.values())
        self.host_memory = MemoryLedger(1 << 62, partial(watch, HOST))
        """The memory held on all hosts together, without a limit."""
        self.copies: dict[CopyKey, BackboneCopy] = {}
        self.homes: dict[str, dict[str, None]] = {}
        """By backbone: the devices that hold a shared copy of it."""
        self.instances: dict[int, Instance] = {}
        self.of_function: dict[str, dict[int, Instance]] = {}
        self.requests: dict[int, Request] = {}
        self.queues: dict[str, dict[int, Request]] = {}
        self.blocked_on: dict[str, str] = {}
        """By function that waits for memory: the device that it waits for."""
        self._estimates: dict[str, Estimates] = {}
        self._new_rate = new_rate

    def queue(self, function: str) -> dict[int, Request]:
        """Return the waiting requests of ``function``, oldest first."""
        found = self.queues.get(function)
        if found is None:
            found = self.queues[function] = {}
        return found

    def waited_ns(self, function: str, now_ns: int) -> int:
        """Return how long the oldest request of ``function`` has waited; 0 if none waits."""
        queue = self.queue(function)
        return now_ns - next(iter(queue.values())).arrived_ns if queue else 0

    def estimates(self, function: str) -> Estimates:
        """Return the estimates of ``function``."""
        found = self._estimates.get(function)
        if found is None:
            spec = self.cluster.functions[function]
            found = self._estimates[function] = Estimates(spec, self._new_rate())
        return found

    def serving(self, function: str) -> list[Instance]:
        """Return the instances that serve ``function``, or will once they have started."""
        return [i for i in self.of_function.get(function, {}).values() if i.serving]

    def wakeable(self, function: str) -> Instance | None:
        """Return the instance of ``function`` that can be woken and lacks the fewest artifacts."""
        found = [i for i in self.of_function.get(function, {}).values() if i.wakeable]
        return max(found, key=lambda i: len(i.in_place), default=None)

    def offloading(self, function: str) -> bool:
        """Return whether an instance of ``function`` is offloading."""
        instances = self.of_function.get(function, {}).values()
        return any(i.phase is Phase.OFFLOADING for i in instances)

    def at_rest(self, instance: Instance) -> bool:
        """Return whether ``instance`` may be evicted: it is idle and no request waits for its
        function, or it is asleep and not first in the queue for memory of its device. The first may
        evict those behind it; otherwise all of them would wait forever."""
        if instance.phase is Phase.ASLEEP:
            return next(iter(self.devices[instance.device].blocked), None) != instance.function.id
        return instance.idle and not self.queues.get(instance.function.id)

    def add_devices(self, specs: Iterable[DeviceSpec]) -> None:
        """Add devices and their hosts."""
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

    def block(self, function: str, device: Device) -> None:
        """Add ``function`` to the queue for memory of ``device``."""
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
        """Report a decision to ``explain``, if set. Callers test ``explain`` first where computing
        the numbers is costly."""
        if self.explain is not None:
            self.explain(kind, numbers)
