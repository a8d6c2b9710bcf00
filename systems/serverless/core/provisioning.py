"""Starts and wakes instances. Reserves memory first, then requests artifacts in order of precedence
(libraries → backbone → adapter → kernels)."""

from __future__ import annotations

from collections.abc import Sequence

from . import actions as act
from .adapter_preparation import AdapterPreparation
from .artifacts import AWAKE, BACKBONE, DORMANT, GONE, LIBRARIES, CopyKey, Residency
from .backbone_copies import BackboneCopies
from .cluster_spec import GroupSpec
from .devices import Device, TemplatePhase
from .host_templates import HostTemplates
from .instance import STARTING, STOPPING, Instance
from .instance_memory import InstanceMemory
from .memory_needs import MemoryNeeds
from .policies import Policies
from .policies.offloading import Need, held_by
from .releasing import Releasing
from .state import State
from .value import kv_floor
from .waiting import Request


class Provisioning:
    """Starts, loads and resizes instances; appends the actions to ``out``."""

    def __init__(
        self,
        state: State,
        policies: Policies,
        preparation: AdapterPreparation,
        memory: InstanceMemory,
        copies: BackboneCopies,
        templates: HostTemplates,
        releasing: Releasing,
        out: list[act.Action],
    ) -> None:
        self._state = state
        self._policies = policies
        self._preparation = preparation
        self._memory, self._copies = memory, copies
        self._templates, self._releasing = templates, releasing
        self._needs = MemoryNeeds(state, memory, templates)
        self._out = out
        self._next_instance = 0

    # -- starting ---------------------------------------------------------------------------

    def start(self, group_id: str, now: int) -> None:
        """Wake a sleeping instance of the group or start one; if memory is short, queue the group
        at the device. Without a device, do nothing until a host joins."""
        if not self._state.devices:
            return
        group, instance = self._state.cluster.groups[group_id], self._state.wakeable(group_id)
        if instance is None:
            device = self._policies.placement.choose(group, self._state, now)
            copy, forked = self._new_copy(group, device), self._policies.preloading.forks
            need = self._needs.of_new(group, copy, forked=forked)
        else:
            device = self._state.devices[instance.device]
            need = self._needs.of(instance, AWAKE)
        first_in_line = next(iter(device.blocked), group_id)
        if first_in_line == group_id and self._make_room(device, need, group, now):
            self._state.unblock(group_id)
            self._awake(device, instance or self._new_instance(group, device), now)
        else:
            self._state.block(group_id, device)

    def _awake(self, device: Device, instance: Instance, now: int) -> None:
        """Let ``instance``, for which there is room, get all that it needs to serve."""
        self._give(device, instance, AWAKE)
        self.advance(instance, now)

    def take_over(self, group_id: str, now: int) -> bool:
        """Start an instance of the group in the container of another group's instance, if the
        pre-loading policy names one, the group has none that could be woken, and what it needs fits
        in the place of the other without an eviction. Return whether it was started."""
        victim = self._policies.preloading.container_for(group_id, self._state)
        if victim is None or self._state.wakeable(group_id) is not None:
            return False
        device, instance = self._state.devices[victim.device], self._successor(victim, group_id)
        more = self._needs.of(instance, AWAKE) - held_by(victim, device, self._state)
        if device.blocked or more > device.memory.free:
            return False
        self._vacate(victim)
        self._awake(device, instance, now)
        return True

    def _successor(self, victim: Instance, group_id: str) -> Instance:
        group, number = self._state.cluster.groups[group_id], self._next_instance
        key = self._policies.sharing.copy_for(group.backbone, victim.device, number)
        kept = frozenset(victim.in_place) & self._policies.preloading.kept_by_container
        return Instance(number, group, victim.device, key, victim.forked, kept, victim.id)

    def _vacate(self, victim: Instance) -> None:
        """Release all that ``victim`` holds to the instance that takes over its process, which
        releases it before it loads anything. It is removed when its end is reported."""
        copy = self._state.copies.get(victim.copy)
        self._state.leave_rest(victim)
        self._releasing.release(victim)
        self._state.enter(victim, STOPPING)
        if copy is not None and not copy.users:
            self._copies.drop(copy)

    def start_beside(self, group_id: str, now: int) -> None:
        """Add an instance of the group, a sleeping or a new one, if the scaling policy says that
        the group gains by it and there is room for it now."""
        instance = self._gained(group_id, now)
        if instance is None:
            return
        device = self._state.devices[instance.device]
        need = self._needs.of(instance, AWAKE)
        if not device.blocked and self._make_room(device, need, instance.group, now):
            self._awake(device, instance, now)

    def _gained(self, group_id: str, now: int) -> Instance | None:
        scaling, state = self._policies.scaling, self._state
        asleep = state.wakeable(group_id)
        if asleep is not None and scaling.gains(asleep, state, now):
            return asleep
        group, most_ns = state.cluster.groups[group_id], scaling.most_ns(group_id, state, now)
        device = self._policies.placement.choose_within(group, state, now, most_ns)
        new = None if device is None else self._new_instance(group, device)
        return new if new is not None and scaling.gains(new, state, now) else None

    def preload(self, instance: Instance, goal: Residency, now: int) -> None:
        """Load what a sleeping instance lacks of ``goal``, if it fits without an eviction."""
        device = self._state.devices[instance.device]
        if not device.blocked and self._needs.of(instance, goal) <= device.memory.free:
            self._give(device, instance, goal)
            self.advance(instance, now)

    def retry(self, device_id: str, now: int) -> None:
        """Start the groups that wait for memory of a device, strictly in order."""
        device = self._state.devices[device_id]
        for group in list(device.blocked):
            if self._state.serving(group):
                self._state.unblock(group)
                continue
            self.start(group, now)
            if group in device.blocked:
                return

    def _new_instance(self, group: GroupSpec, device: Device) -> Instance:
        key, preloading = self._new_copy(group, device), self._policies.preloading
        inherited = DORMANT if preloading.forks and preloading.template_libraries else GONE
        return Instance(
            self._next_instance, group, device.spec.id, key, preloading.forks, inherited
        )

    def _new_copy(self, group: GroupSpec, device: Device) -> CopyKey:
        """Return the copy that the next instance of ``group`` on ``device`` will use."""
        sharing = self._policies.sharing
        return sharing.copy_for(group.backbone, device.spec.id, self._next_instance)

    def _make_room(self, device: Device, need: int, group: GroupSpec, now: int) -> bool:
        """Return whether the bytes that an instance of ``group`` needs fit now; otherwise evict.
        Bytes that are being freed count as free only when they are, but nothing more is evicted for
        them."""
        short = need - device.memory.free - device.leaving_bytes
        if short > 0:
            self._evict(device, short, group, now)
        return need <= device.memory.free

    def _evict(self, device: Device, amount: int, group: GroupSpec, now: int) -> None:
        need = Need(device, amount, group.id, group.backbone)
        eviction = self._policies.offloading.choose(need, self._state, now)
        for copy in eviction.copies:
            self._copies.drop(copy)
        for victim, residency in eviction.residency.items():
            self._releasing.offload(self._state.instances[victim], residency)

    def _give(self, device: Device, instance: Instance, goal: Residency) -> None:
        """Reserve what ``instance`` needs for ``goal`` and set it as the goal."""
        if instance.forked:
            self._templates.hold(self._state.host_of(instance), device)
        self._memory.awake_again(instance)
        self._memory.hold(device, instance, goal)
        copy = self._state.copies.get(instance.copy) or self._copies.add(
            instance.copy, instance.group.id
        )
        copy.users.add(instance.id)
        self._state.leave_rest(instance)
        instance.prepared.clear()
        instance.prepared_until = 0
        instance.new_ns, instance.prewarmed = None, False
        self._state.enter(instance, STARTING, goal)
        if instance.id not in self._state.instances:
            self._next_instance += 1
            self._state.add_instance(instance)

    def advance(self, instance: Instance, now: int) -> bool:
        """Request the next artifact that ``instance`` lacks. Return True if its goal is reached."""
        if instance.phase is not STARTING or not self._process_asked(instance, now):
            return False
        self._preparation.for_waiting(instance.group)
        copy = self._state.copies[instance.copy]
        ready = self._state.cluster.settings.eager_backbone or LIBRARIES in instance.in_place
        if copy.key.shared and copy.load is None and ready:
            self._copies.load(copy, now)
        if not instance.started or instance.loading:
            return False
        artifact = instance.missing
        if artifact is None:
            return True
        backbone = artifact is BACKBONE
        if not (backbone and copy.key.shared and not copy.loaded):
            instance.loading, instance.loading_since_ns = artifact, now
            self._out.append(
                act.LoadArtifact(instance.id, artifact, copy.key if backbone else None)
            )
        return False

    def _process_asked(self, instance: Instance, now: int) -> bool:
        if instance.asked:
            return True
        host = self._state.host_of(instance)
        if instance.forked and host.template is not TemplatePhase.READY:
            self._templates.start(self._state.devices[instance.device].spec.host)
            return False
        instance.asked, instance.asked_ns = True, now
        self._out.append(
            act.StartInstance(
                instance.id, instance.group.id, instance.device, instance.forked, instance.takes
            )
        )
        return True

    # -- running ----------------------------------------------------------------------------

    def admit(self, instance: Instance, requests: Sequence[Request], now: int) -> list[Request]:
        """Return the first of ``requests`` whose KV caches fit; reserve their bytes."""
        device = self._state.devices[instance.device]
        holding = instance.holdings.kv
        held, floor = device.memory.held(holding), kv_floor(instance.group, self._state)
        taken: list[Request] = []
        wanted = instance.running_kv_bytes
        for request in requests:
            wanted += request.kv_bytes
            more = max(wanted, floor) - held
            if more > device.memory.free:
                short = more - device.memory.free - device.leaving_bytes
                if short > 0:
                    self._evict(device, short, instance.group, now)
                if more > device.memory.free:
                    wanted -= request.kv_bytes
                    break
            taken.append(request)
        if taken:
            device.memory.resize(holding, max(wanted, floor))
        return taken

    def size_kv(self, instance: Instance) -> None:
        """Release the KV cache of finished requests."""
        size = max(instance.running_kv_bytes, kv_floor(instance.group, self._state))
        device = self._state.devices[instance.device]
        device.memory.resize(instance.holdings.kv, size)
