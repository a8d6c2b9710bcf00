"""The state of a controller: devices, backbone copies, instances, requests, and indices of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any

from .adapter_index import AdapterIndex
from .artifacts import CopyKey, Residency
from .cluster_spec import HOST, ClusterSpec, DeviceSpec, GroupSpec
from .devices import BackboneCopy, Device, Host
from .estimates import BackboneDelays, Estimates, Rate, ServiceTime
from .instance import ASLEEP, READY, Instance, Phase
from .members import Members
from .memory import Holding, MemoryLedger
from .policy import Notices
from .waiting import Request, WaitingRequests

MemoryWatcher = Callable[[str, Holding, int], None]
"""Called with device, holding and by how many bytes it changed, whenever a ledger changes."""

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
        self.tenants = {name: each.tenant for name, each in cluster.functions.items()}
        """The tenant of each function; empty if there is only one, who needs no turns."""
        if len(set(self.tenants.values())) == 1:
            self.tenants.clear()
        self.explain = explain
        self._notices = notices
        self._watch = watch
        self.devices: dict[str, Device] = {}
        self.device_ids: list[str] = []
        """The keys of ``devices``, in their order."""
        self.hosts: dict[str, Host] = {}
        self._of_host: dict[str, dict[str, Device]] = {}
        self.add_devices(cluster.devices.values())
        self.host_memory = MemoryLedger(1 << 62, partial(watch, HOST))
        """The memory held on all hosts together, without a limit."""
        self.copies: dict[CopyKey, BackboneCopy] = {}
        self.homes: dict[str, dict[str, BackboneCopy]] = {each: {} for each in cluster.backbones}
        """By backbone: its shared copies by the device that holds them."""
        self.home_ids: dict[str, list[str]] = {each: [] for each in cluster.backbones}
        """The keys of ``homes``, in their order."""
        self.prewarmed: dict[str, dict[str, int]] = {each: {} for each in cluster.backbones}
        """By backbone: the number of its prewarmed processes that are ready, by device that has
        any."""
        self.instances: dict[int, Instance] = {}
        self._members: dict[str, Members] = {}
        """Of the groups that have instances: most of many functions have none at a time."""
        self._none = Members()
        """Of all other groups. It stays empty: only existing instances are put into an index."""
        self._adapters: dict[str, AdapterIndex] = {}
        self.requests: dict[int, Request] = {}
        self.queues: dict[str, WaitingRequests] = {}
        self.failing: set[str] = set()
        """Functions whose adapters could not be loaded the last time; they are not preloaded."""
        self.blocked_on: dict[str, str] = {}
        """By group that waits for memory: the device that it waits for."""
        self._pressed: dict[str, Device] = {}
        """The devices for whose memory requests may wait."""
        self._estimates: dict[str, Estimates] = {}
        self._rates: dict[str, Rate] = {}
        self._services: defaultdict[str, ServiceTime] = defaultdict(ServiceTime)
        """By backbone, as the next."""
        self._delays: defaultdict[str, BackboneDelays] = defaultdict(BackboneDelays)
        self._new_rate = new_rate

    def queue(self, group: str) -> WaitingRequests:
        """Return the waiting requests of ``group``."""
        found = self.queues.get(group)
        if found is None:
            found = self.queues[group] = WaitingRequests()
        return found

    def adapters(self, group: str) -> AdapterIndex:
        """Return the adapters in the places of the ready instances of ``group``."""
        found = self._adapters.get(group)
        if found is None:
            functions = self.cluster.functions
            members = self.cluster.groups[group].functions
            without = (each for each in members if not functions[each].adapter_bytes)
            found = self._adapters[group] = AdapterIndex(self.queue(group), without)
        return found

    def enqueue(self, request: Request) -> None:
        """Add a waiting request."""
        self.queue(request.group).add(request)
        if self.cluster.groups[request.group].places:
            self.adapters(request.group).queued(request.function, 1)

    def dequeue(self, request: Request) -> None:
        """Remove a request that waits no longer."""
        self.queue(request.group).remove(request)
        if self.cluster.groups[request.group].places:
            self.adapters(request.group).queued(request.function, -1)

    def begin(self, instance: Instance, request: Request) -> None:
        """Let ``instance`` run a request."""
        instance.begin(request)
        if self.tenants:
            self.devices[instance.device].turns.begin(self.tenants[request.function])
        if instance.group.places:
            self.adapters(instance.group.id).runs(instance, 1)

    def end(self, instance: Instance, request: Request, now_ns: int) -> None:
        """Note that ``instance`` runs a request no longer."""
        instance.end(request, now_ns)
        if instance.group.places:
            self.adapters(instance.group.id).runs(instance, -1)

    def turn(self, request: Request, device: Device) -> int:
        """Return in which turn ``device`` serves a waiting request; all in the same if there is
        only one tenant."""
        return device.turns.of(self.tenants[request.function]) if self.tenants else 0

    def waited_ns(self, group: str, now_ns: int) -> int:
        """Return how long the oldest request of ``group`` has waited; 0 if none waits."""
        queue = self.queue(group)
        return now_ns - queue.oldest.arrived_ns if queue else 0

    def estimates(self, group: str) -> Estimates:
        """Return the estimates of ``group``."""
        found = self._estimates.get(group)
        if found is None:
            spec = self.cluster.groups[group]
            service, delays = self._services[spec.backbone], self._delays[spec.backbone]
            found = Estimates(spec, self._new_rate(), service, delays)
            self._estimates[group] = found
        return found

    def took(
        self,
        backbone: str,
        *,
        loaded_ns: int = 0,
        copied_ns: int = 0,
        fork_ns: int = 0,
        takeover_ns: int = 0,
    ) -> None:
        """Update the delays of all groups of a backbone by those that were observed."""
        delays = self._delays[backbone]
        before = delays.seen
        delays.observe(loaded_ns, copied_ns, fork_ns, takeover_ns)
        if delays.seen == before:
            return
        for group, estimates in self._estimates.items():
            if self.cluster.groups[group].backbone == backbone:
                estimates.told()

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

    def members(self, group: str) -> Members:
        """Return the instances of ``group``."""
        return self._members.get(group, self._none)

    def serving(self, group: str) -> Collection[Instance]:
        """Return the instances that serve ``group``, or will once they have started."""
        return self.members(group).serving.values()

    def wakeable(self, group: str) -> Instance | None:
        """Return the instance of ``group`` that can be woken and lacks the fewest artifacts; of
        equals, the oldest."""
        found = self.members(group).wakeable.values()
        return max(found, key=lambda i: (len(i.in_place), -i.id), default=None)

    def enter(self, instance: Instance, phase: Phase, goal: Residency | None = None) -> None:
        """Set the phase of ``instance``, and its goal if one is given."""
        instance.phase = phase
        if goal is not None:
            instance.goal = goal
        if instance.id in self.instances:
            self.members(instance.group.id).sort(instance)
        if instance.group.places:
            index = self.adapters(instance.group.id)
            index.left(instance)
            if phase is READY:
                index.joined(instance)

    def at_rest(self, instance: Instance) -> bool:
        """Return whether ``instance`` may be evicted: it is idle and no request waits for its
        group, or it is asleep and not first in the queue for memory of its device. The first may
        evict those behind it; otherwise all of them would wait forever."""
        if instance.phase is ASLEEP:
            return next(iter(self.devices[instance.device].blocked), None) != instance.group.id
        return instance.idle and not self.queues.get(instance.group.id)

    def add_devices(self, specs: Iterable[DeviceSpec]) -> None:
        """Add devices and their hosts."""
        for spec in specs:
            ledger = MemoryLedger(spec.memory_bytes, partial(self._watch, spec.id))
            device = self.devices[spec.id] = Device(spec, ledger)
            self._of_host.setdefault(spec.host, {})[spec.id] = device
            self.hosts.setdefault(spec.host, Host())
        self.device_ids = list(self.devices)

    def remove_device(self, device: Device) -> None:
        """Remove ``device``, whose instances and copies were removed before."""
        del self.devices[device.spec.id]
        self.device_ids = list(self.devices)
        del self._of_host[device.spec.host][device.spec.id]
        for tell in self._notices.device_left:
            tell(device.spec.id)

    def devices_of(self, host: str) -> list[Device]:
        return list(self._of_host.get(host, {}).values())

    def host_of(self, instance: Instance) -> Host:
        return self.hosts[self.devices[instance.device].spec.host]

    def add_instance(self, instance: Instance) -> None:
        self.instances[instance.id] = instance
        members = self._members.get(instance.group.id)
        if members is None:
            members = self._members[instance.group.id] = Members()
        members.add(instance)
        self.devices[instance.device].instances[instance.id] = instance

    def remove_instance(self, instance: Instance) -> None:
        del self.instances[instance.id]
        members = self._members[instance.group.id]
        members.remove(instance)
        if not members.all:
            del self._members[instance.group.id]
        if instance.group.places:
            self.adapters(instance.group.id).left(instance)
        device = self.devices[instance.device]
        del device.instances[instance.id]
        device.paused.pop(instance.id, None)
        self.leave_rest(instance)
        self.not_waiting(instance)

    def rest(self, instance: Instance, now_ns: int) -> None:
        """Notify policies that ``instance`` is idle or asleep, or is to be weighed again."""
        self.devices[instance.device].resting.add(instance.id)
        for tell in self._notices.rested:
            tell(instance, self, now_ns)

    def group_rested(self, group: str, now_ns: int) -> None:
        """Notify policies that the idle instances of ``group`` are to be weighed again."""
        for tell in self._notices.group_rested:
            tell(group, self, now_ns)

    def leave_rest(self, instance: Instance) -> None:
        """Notify policies that ``instance`` is no longer idle or asleep, if it was."""
        resting = self.devices[instance.device].resting
        if instance.id in resting:
            resting.remove(instance.id)
            for tell in self._notices.left_rest:
                tell(instance)

    def joins(self, instance: Instance) -> None:
        """Notify policies that a batch is about to join what ``instance`` runs."""
        for tell in self._notices.joins:
            tell(instance, self)

    def waits(self, instance: Instance) -> None:
        """Add ``instance``, for whose group requests wait, to those that wait on its device, unless
        it was told to stop."""
        if instance.phase is not READY:
            return
        self.devices[instance.device].waiting.setdefault(instance.id, instance)
        self.members(instance.group.id).waiting[instance.id] = instance

    def starve(self, instance: Instance) -> None:
        """Let a waiting instance wait for memory of its device."""
        device = self.devices[instance.device]
        device.starved[instance.id] = device.waiting.pop(instance.id)
        self._pressed[device.spec.id] = device

    def not_waiting(self, instance: Instance) -> None:
        device = self.devices[instance.device]
        device.waiting.pop(instance.id, None)
        device.starved.pop(instance.id, None)
        self.members(instance.group.id).waiting.pop(instance.id, None)

    def pressed(self, group: str) -> bool:
        """Return whether requests wait for memory of a device with an instance of ``group``."""
        if not self._pressed:
            return False
        self._pressed = {id_: d for id_, d in self._pressed.items() if d.blocked or d.starved}
        on_device = self.members(group).on_device
        return any(id_ in on_device for id_ in self._pressed)

    def add_copy(self, copy: BackboneCopy) -> None:
        self.copies[copy.key] = copy
        if copy.key.shared:
            self.homes[copy.key.backbone][copy.key.device] = copy
            self.home_ids[copy.key.backbone].append(copy.key.device)

    def remove_copy(self, copy: BackboneCopy) -> None:
        del self.copies[copy.key]
        if copy.key.shared:
            del self.homes[copy.key.backbone][copy.key.device]
            self.home_ids[copy.key.backbone].remove(copy.key.device)
            self.set_prewarmed(copy.key, 0)

    def set_prewarmed(self, key: CopyKey, ready: int) -> None:
        """Note how many prewarmed processes of a shared copy are ready."""
        there = self.prewarmed[key.backbone]
        if ready:
            there[key.device] = ready
        else:
            there.pop(key.device, None)

    def shared_copies_on(self, device: str) -> list[BackboneCopy]:
        """Return the shared copies on ``device``, in the order of their backbones."""
        return [homes[device] for homes in self.homes.values() if device in homes]

    def block(self, group: str, device: Device) -> None:
        """Add ``group`` to the queue for memory of ``device``."""
        before = self.blocked_on.get(group)
        if before is not None and before != device.spec.id:
            del self.devices[before].blocked[group]
        device.blocked.setdefault(group)
        self._pressed[device.spec.id] = device
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
