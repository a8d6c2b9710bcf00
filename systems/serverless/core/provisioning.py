"""Starts, wakes, offloads and stops instances. Reserves memory first, then requests artifacts in
order of precedence (libraries → backbone → adapter → kernels)."""

from __future__ import annotations

from collections.abc import Sequence

from systems.interface import MemoryOwner

from . import actions as act
from .adapter_preparation import AdapterPreparation
from .artifacts import AWAKE, DORMANT, GONE, PRECEDENCE, Artifact, CopyKey, Residency
from .backbone_sources import lose_source, source_of
from .cluster_spec import GroupSpec
from .instance import Instance, Phase
from .memory import Holding
from .policies import Policies
from .policies.offloading import Need, held_by
from .state import BackboneCopy, Device, Host, State, TemplatePhase
from .value import kv_floor
from .waiting import Request

TEMPLATE = Holding(MemoryOwner.CONTEXT, -1, None)
STANDBY = Holding(MemoryOwner.CONTEXT, -2, None)


def _on_host(device: Device) -> Holding:
    """Return the holding for the host memory of a template that ``device`` holds."""
    return Holding(MemoryOwner.HOST_TIER, CopyKey("", device.spec.id), None)


def _tier(host_id: str) -> Holding:
    """Return the holding for the host tier of adapters."""
    return Holding(MemoryOwner.HOST_TIER, CopyKey("adapters", host_id), None)


class Provisioning:
    """Starts, loads, resizes, offloads and stops instances; appends the actions to ``out``."""

    def __init__(
        self,
        state: State,
        policies: Policies,
        preparation: AdapterPreparation,
        out: list[act.Action],
    ) -> None:
        self._state = state
        self._policies = policies
        self._preparation = preparation
        self._out = out
        self._next_instance = 0
        self._loads = 0
        self._failed_starts: dict[str, int] = {}

    # -- starting ---------------------------------------------------------------------------

    def start(self, group_id: str, now: int) -> None:
        """Wake a sleeping instance of the group or start one; if memory is short, queue the group
        at the device. Without a device, do nothing until a host joins."""
        if not self._state.devices:
            return
        instance = self._state.wakeable(group_id)
        if instance is None:
            group = self._state.cluster.groups[group_id]
            device = self._policies.placement.choose(group, self._state, now)
            instance = self._new_instance(group, device)
        device = self._state.devices[instance.device]
        first_in_line = next(iter(device.blocked), group_id)
        if first_in_line == group_id and self._make_room(device, instance, now):
            self._state.unblock(group_id)
            self._give(device, instance, AWAKE)
            self.advance(instance, now)
        else:
            self._state.block(group_id, device)

    def take_over(self, group_id: str, now: int) -> bool:
        """Start an instance of the group in the container of another group's instance, if the
        pre-loading policy names one, the group has none that could be woken, and what it needs fits
        in the place of the other without an eviction. Return whether it was started."""
        victim = self._policies.preloading.container_for(group_id, self._state)
        if victim is None or self._state.wakeable(group_id) is not None:
            return False
        device, instance = self._state.devices[victim.device], self._successor(victim, group_id)
        more = self._need(instance, AWAKE) - held_by(victim, device, self._state)
        if device.blocked or more > device.memory.free:
            return False
        self._vacate(victim)
        self._give(device, instance, AWAKE)
        self.advance(instance, now)
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
        self.release(victim)
        self._state.enter(victim, Phase.STOPPING)
        if copy is not None and not copy.users:
            self.drop(copy)

    def start_beside(self, group_id: str, now: int) -> None:
        """Add an instance of the group, a sleeping or a new one, if the scaling policy says that
        the group gains by it and there is room for it now."""
        instance = self._gained(group_id, now)
        if instance is None:
            return
        device = self._state.devices[instance.device]
        if not device.blocked and self._make_room(device, instance, now):
            self._give(device, instance, AWAKE)
            self.advance(instance, now)

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
        if not device.blocked and self._need(instance, goal) <= device.memory.free:
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
        key = self._policies.sharing.copy_for(group.backbone, device.spec.id, self._next_instance)
        preloading = self._policies.preloading
        inherited = DORMANT if preloading.forks and preloading.template_libraries else GONE
        return Instance(
            self._next_instance, group, device.spec.id, key, preloading.forks, inherited
        )

    def _make_room(self, device: Device, instance: Instance, now: int) -> bool:
        """Return whether all that ``instance`` needs fits now; otherwise evict. Bytes that are
        being freed count as free only when they are, but nothing more is evicted for them."""
        need = self._need(instance, AWAKE)
        short = need - device.memory.free - device.leaving_bytes
        if short > 0:
            self._evict(device, short, instance, now)
        return need <= device.memory.free

    def _need(self, instance: Instance, goal: Residency) -> int:
        """Return the bytes still to be reserved for ``instance`` to have all of ``goal``."""
        device = self._state.devices[instance.device]
        need = sum(self._shape(instance, goal).values())
        need -= device.memory.held_by(instance.holdings)
        if instance.copy not in self._state.copies:
            need += self._state.cluster.copy_bytes(instance.copy)
        return need + self._template_need(instance)

    def _shape(self, instance: Instance, goal: Residency) -> dict[MemoryOwner, int]:
        """Return the instance's own bytes with ``goal`` in place. One that can serve always holds
        the KV cache of one full-length request, so that it can always serve one: no two instances
        can wait for each other's memory."""
        group, on_device = instance.group, Artifact.BACKBONE in goal
        serves = Artifact.KERNELS in goal
        bare = group.bare_bytes if goal else 0
        adapters = (group.adapter_bytes if on_device else 0) + (group.places_bytes if serves else 0)
        return {
            MemoryOwner.CONTEXT: group.context_bytes if on_device else bare,
            MemoryOwner.ADAPTERS: adapters,
            MemoryOwner.KV: kv_floor(instance, self._state) if serves else 0,
        }

    def _evict(self, device: Device, amount: int, instance: Instance, now: int) -> None:
        need = Need(device, amount, instance.group.id, instance.group.backbone)
        eviction = self._policies.offloading.choose(need, self._state, now)
        for copy in eviction.copies:
            self.drop(copy)
        for victim, residency in eviction.residency.items():
            self.offload(self._state.instances[victim], residency)

    def _give(self, device: Device, instance: Instance, goal: Residency) -> None:
        """Reserve what ``instance`` needs for ``goal`` and set it as the goal."""
        if instance.forked:
            self._hold_template(self._state.host_of(instance), device)
        self._awake_again(instance)
        self._hold(device, instance, goal)
        copy = self._state.copies.get(instance.copy) or self._new_copy(
            instance.copy, instance.group.id
        )
        copy.users.add(instance.id)
        self._state.leave_rest(instance)
        instance.prepared.clear()
        instance.prepared_until = 0
        self._state.enter(instance, Phase.STARTING, goal)
        if instance.id not in self._state.instances:
            self._next_instance += 1
            self._state.add_instance(instance)

    def _hold(self, device: Device, instance: Instance, residency: Residency) -> None:
        """Reserve on device and host what ``instance`` holds with ``residency`` in place."""
        for owner, size in self._shape(instance, residency).items():
            device.memory.resize(instance.holding(owner), size)
        asleep, group = residency == DORMANT, instance.group
        size = group.dormant_bytes if asleep else group.host_bytes if residency else 0
        holding = instance.holding(MemoryOwner.HOST_TIER)
        self._state.host_memory.resize(holding, size)

    def template_early(self, host_id: str) -> None:
        """Start a host's template before the first request, if settings say so."""
        if self._state.cluster.settings.template_at_deployment:
            host = self._state.hosts[host_id]
            self._hold_template(host, self._state.devices_of(host_id)[0])
            self._start_template(host_id)

    def backbones_early(self, host_id: str, now: int) -> None:
        """Load each shared backbone before the first request, if settings say so and it fits, on a
        device of the host, devices in turn, or on every device."""
        settings, devices = self._state.cluster.settings, self._state.devices_of(host_id)
        backbones = self._state.cluster.backbones if settings.backbones_at_deployment else ()
        for number, backbone in enumerate(backbones):
            one = [devices[number % len(devices)]]
            for device in devices if settings.backbones_on_every_device else one:
                self._load_early(backbone, device, now)

    def _load_early(self, backbone: str, device: Device, now: int) -> None:
        key = self._policies.sharing.copy_for(backbone, device.spec.id, self._next_instance)
        if key.shared and self._state.cluster.copy_bytes(key) <= device.memory.free:
            self._load(self._new_copy(key, None), now)

    def _start_template(self, host_id: str) -> None:
        host = self._state.hosts[host_id]
        if host.template is TemplatePhase.ABSENT:
            host.template = TemplatePhase.STARTING
            self._out.append(act.StartTemplate(host_id))

    def _hold_template(self, host: Host, device: Device) -> None:
        """Reserve the template's bytes, once per host: on the first device that is forked to, and
        in host memory. On each device, reserve those of the loader that stands by."""
        if host.template_device is not None:
            return
        settings = self._state.cluster.settings
        host.template_device = device.spec.id
        device.memory.resize(TEMPLATE, settings.template_bytes)
        for each in self._state.devices_of(device.spec.host):
            each.memory.resize(STANDBY, settings.standby_bytes)
        self._state.host_memory.resize(_on_host(device), settings.template_host_bytes)

    def hold_tier(self, host_id: str, nbytes: int) -> None:
        """Count the host tier of adapters of a host that is there."""
        if host_id in self._state.hosts:
            self._state.host_memory.resize(_tier(host_id), nbytes)

    def _template_need(self, instance: Instance) -> int:
        """Return the bytes of the template and of the loader that stands by, if ``instance`` is the
        first fork on its host, else 0."""
        held = self._state.host_of(instance).template_device is not None
        settings = self._state.cluster.settings
        alone = held or not instance.forked
        return 0 if alone else settings.template_bytes + settings.standby_bytes

    def lose_template(self, host: Host) -> str | None:
        """Release the memory of a template that ended; return the device that held it, if any."""
        home, host.template_device = host.template_device, None
        if home is not None:
            device = self._state.devices[home]
            device.memory.resize(TEMPLATE, 0)
            for each in self._state.devices_of(device.spec.host):
                each.memory.resize(STANDBY, 0)
            self._state.host_memory.resize(_on_host(device), 0)
        host.template = TemplatePhase.ABSENT
        return home

    def lose_host(self, host_id: str) -> None:
        """Remove a host whose instances were removed before: its copies, its template, its devices
        and the queues for their memory."""
        self.lose_template(self._state.hosts[host_id])
        self.hold_tier(host_id, 0)
        for device in self._state.devices_of(host_id):
            for copy in [c for c in self._state.copies.values() if c.key.device == device.spec.id]:
                self._forget(copy)
            for group in list(device.blocked):
                self._state.unblock(group)
            self._state.remove_device(device)
        del self._state.hosts[host_id]

    def _new_copy(self, key: CopyKey, group: str | None) -> BackboneCopy:
        """Reserve the memory of a copy; ``group`` is its owner's if it is private."""
        size = self._state.cluster.copy_bytes(key)
        pool = size - self._state.cluster.backbones[key.backbone].bytes
        copy = BackboneCopy(key, size, pool, owner_group=None if key.shared else group)
        for holding, held in copy.holdings.items():
            self._state.devices[key.device].memory.resize(holding, held)
        self._state.add_copy(copy)
        return copy

    def _load(self, copy: BackboneCopy, now: int) -> None:
        self._loads += 1
        source = source_of(copy.key, self._state)
        copy.load, copy.asked_ns = self._loads, now
        copy.source = source.key if source else None
        if copy.source is None:
            self._out.append(act.LoadBackbone(copy.key, self._loads))
        else:
            self._out.append(act.CopyBackbone(copy.key, self._loads, copy.source))

    def advance(self, instance: Instance, now: int) -> bool:
        """Request the next artifact that ``instance`` lacks. Return True if its goal is reached."""
        if instance.phase is not Phase.STARTING or not self._process_asked(instance):
            return False
        self._preparation.for_waiting(instance.group)
        copy = self._state.copies[instance.copy]
        ready = (
            self._state.cluster.settings.eager_backbone or Artifact.LIBRARIES in instance.in_place
        )
        if copy.key.shared and copy.load is None and ready:
            self._load(copy, now)
        if not instance.started or instance.loading:
            return False
        artifact = instance.missing
        if artifact is None:
            return True
        backbone = artifact is Artifact.BACKBONE
        if not (backbone and copy.key.shared and not copy.loaded):
            instance.loading, instance.loading_since_ns = artifact, now
            self._out.append(
                act.LoadArtifact(instance.id, artifact, copy.key if backbone else None)
            )
        return False

    def _process_asked(self, instance: Instance) -> bool:
        if instance.asked:
            return True
        host = self._state.host_of(instance)
        if instance.forked and host.template is not TemplatePhase.READY:
            self._start_template(self._state.devices[instance.device].spec.host)
            return False
        instance.asked = True
        self._out.append(
            act.StartInstance(
                instance.id, instance.group.id, instance.device, instance.forked, instance.takes
            )
        )
        return True

    def may_retry(self, group: str) -> bool:
        """Count a failed start of ``group``; return whether another may be tried."""
        self._failed_starts[group] = self._failed_starts.get(group, 0) + 1
        return self._failed_starts[group] < self._state.cluster.settings.start_attempts

    def forgive(self, group: str) -> None:
        self._failed_starts.pop(group, None)

    # -- running ----------------------------------------------------------------------------

    def admit(self, instance: Instance, requests: Sequence[Request], now: int) -> list[Request]:
        """Return the first of ``requests`` whose KV caches fit; reserve their bytes."""
        device = self._state.devices[instance.device]
        holding = instance.holding(MemoryOwner.KV)
        held, floor = device.memory.held(holding), kv_floor(instance, self._state)
        taken: list[Request] = []
        wanted = instance.running_kv_bytes
        for request in requests:
            wanted += request.kv_bytes
            more = max(wanted, floor) - held
            if more > device.memory.free:
                short = more - device.memory.free - device.leaving_bytes
                if short > 0:
                    self._evict(device, short, instance, now)
                if more > device.memory.free:
                    wanted -= request.kv_bytes
                    break
            taken.append(request)
        if taken:
            device.memory.resize(holding, max(wanted, floor))
        return taken

    def size_kv(self, instance: Instance) -> None:
        """Release the KV cache of finished requests."""
        size = max(instance.running_kv_bytes, kv_floor(instance, self._state))
        device = self._state.devices[instance.device]
        device.memory.resize(instance.holding(MemoryOwner.KV), size)

    # -- sleeping and stopping --------------------------------------------------------------

    def offload(self, instance: Instance, residency: Residency) -> None:
        """Reduce an idle or sleeping instance to at most ``residency``. Keep a container only if
        its host has room for it; otherwise stop the instance."""
        settings, size = self._state.cluster.settings, instance.group.dormant_bytes
        host = self._state.host_of(instance)
        if residency == DORMANT and host.dormant_bytes + size > settings.container_memory_bytes:
            residency = GONE
        if residency == GONE:
            self.stop(instance)
            return
        more = instance.in_place - residency
        surplus = tuple([artifact for artifact in reversed(PRECEDENCE) if artifact in more])
        device = self._state.devices[instance.device]
        self._state.leave_rest(instance)
        self._state.enter(instance, Phase.OFFLOADING, residency)
        instance.places.clear()  # kernels, which every offloading releases, hold them
        self._state.not_waiting(instance)
        if residency == DORMANT:
            host.dormant_bytes += size
        freed = device.memory.held_by(instance.holdings)
        freed -= sum(self._shape(instance, residency).values())
        freed += self._alone(instance) if Artifact.BACKBONE in more else 0
        self._leave(device, instance, freed)
        self._out.append(act.OffloadArtifacts(instance.id, surplus))

    def offloaded(self, instance: Instance) -> None:
        """Record that ``instance`` released the artifacts it was told to."""
        device = self._state.devices[instance.device]
        self._leave(device, instance, 0)
        self._hold(device, instance, instance.goal)
        instance.in_place &= instance.goal
        self._state.enter(instance, Phase.ASLEEP)
        copy = self._state.copies.get(instance.copy)
        if copy is not None and Artifact.BACKBONE not in instance.goal:
            copy.users.discard(instance.id)

    def _alone(self, instance: Instance) -> int:
        copy = self._state.copies.get(instance.copy)
        return copy.bytes if copy is not None and copy.users == {instance.id} else 0

    def _leave(self, device: Device, instance: Instance, amount: int) -> None:
        device.leaving_bytes += amount - instance.leaving_bytes
        instance.leaving_bytes = amount

    def stop(self, instance: Instance) -> None:
        """Stop the process of ``instance``; its bytes come free when it is gone."""
        device = self._state.devices[instance.device]
        self._awake_again(instance)
        self._state.leave_rest(instance)
        self._state.enter(instance, Phase.STOPPING)
        self._leave(device, instance, held_by(instance, device, self._state))
        self._out.append(act.StopInstance(instance.id))

    def _awake_again(self, instance: Instance) -> None:
        """Stop counting ``instance`` as a container on its host, if it is or was becoming one."""
        dormant = instance.phase in (Phase.ASLEEP, Phase.OFFLOADING) and instance.goal == DORMANT
        if dormant:
            self._state.host_of(instance).dormant_bytes -= instance.group.dormant_bytes

    def release(self, instance: Instance) -> None:
        """Release all that ``instance`` held, since it is gone."""
        device = self._state.devices[instance.device]
        self._awake_again(instance)
        self._leave(device, instance, 0)
        self._hold(device, instance, GONE)
        copy = self._state.copies.get(instance.copy)
        if copy is not None:
            copy.users.discard(instance.id)

    def drop(self, copy: BackboneCopy) -> None:
        """Free a copy that no instance uses. A private copy was freed with its process."""
        if copy.key.shared and copy.load is not None:
            self._out.append(act.DropBackbone(copy.key))
        self._forget(copy)

    def _forget(self, copy: BackboneCopy) -> None:
        lose_source(copy.key, self._state)
        for holding in copy.holdings:
            self._state.devices[copy.key.device].memory.resize(holding, 0)
        self._state.remove_copy(copy)
