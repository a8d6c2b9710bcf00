"""Offloads and stops instances; their bytes come free when they report that they released them."""

from __future__ import annotations

from . import actions as act
from .artifacts import BACKBONE, DORMANT, GONE, PRECEDENCE, Residency
from .instance import ASLEEP, OFFLOADING, STOPPING, Instance
from .instance_memory import InstanceMemory
from .policies.offloading import held_by
from .state import State


class Releasing:
    """Takes artifacts from instances; appends the actions to ``out``."""

    def __init__(self, state: State, memory: InstanceMemory, out: list[act.Action]) -> None:
        self._state, self._memory, self._out = state, memory, out

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
        self._state.enter(instance, OFFLOADING, residency)
        instance.places.clear()  # kernels, which every offloading releases, hold them
        self._state.not_waiting(instance)
        if residency == DORMANT:
            host.dormant_bytes += size
        freed = device.memory.held_by(instance.holdings)
        freed -= sum(self._memory.shape(instance.group, residency))
        freed += self._alone(instance) if BACKBONE in more else 0
        self._memory.leave(device, instance, freed)
        self._out.append(act.OffloadArtifacts(instance.id, surplus))

    def offloaded(self, instance: Instance) -> None:
        """Record that ``instance`` released the artifacts it was told to."""
        device = self._state.devices[instance.device]
        self._memory.leave(device, instance, 0)
        self._memory.hold(device, instance, instance.goal)
        instance.in_place &= instance.goal
        self._state.enter(instance, ASLEEP)
        copy = self._state.copies.get(instance.copy)
        if copy is not None and BACKBONE not in instance.goal:
            copy.users.discard(instance.id)

    def _alone(self, instance: Instance) -> int:
        copy = self._state.copies.get(instance.copy)
        return copy.bytes if copy is not None and copy.users == {instance.id} else 0

    def stop(self, instance: Instance) -> None:
        """Stop the process of ``instance``; its bytes come free when it is gone."""
        device = self._state.devices[instance.device]
        self._memory.awake_again(instance)
        self._state.leave_rest(instance)
        self._state.enter(instance, STOPPING)
        self._state.not_waiting(instance)
        self._memory.leave(device, instance, held_by(instance, device, self._state))
        self._out.append(act.StopInstance(instance.id))

    def release(self, instance: Instance) -> None:
        """Release all that ``instance`` held, since it is gone."""
        device = self._state.devices[instance.device]
        self._memory.awake_again(instance)
        self._memory.leave(device, instance, 0)
        self._memory.hold(device, instance, GONE)
        copy = self._state.copies.get(instance.copy)
        if copy is not None:
            copy.users.discard(instance.id)
