"""The memory that an instance holds on its device and its host."""

from __future__ import annotations

from .artifacts import BACKBONE, DORMANT, KERNELS, Residency
from .cluster_spec import GroupSpec
from .devices import Device
from .instance import ASLEEP, OFFLOADING, Instance
from .memory import Sizes
from .state import State
from .value import kv_floor


class InstanceMemory:
    """Reserves and releases the memory of instances in the ledgers of ``state``."""

    def __init__(self, state: State) -> None:
        self._state = state

    def shape(self, group: GroupSpec, goal: Residency) -> Sizes:
        """Return the own bytes of an instance of ``group`` with ``goal`` in place. One that can
        serve always holds the KV cache of one full-length request, so that it can always serve one:
        no two instances can wait for each other's memory."""
        on_device, serves = BACKBONE in goal, KERNELS in goal
        bare = group.bare_bytes if goal else 0
        adapters = (group.adapter_bytes if on_device else 0) + (group.places_bytes if serves else 0)
        return Sizes(
            context=group.context_bytes if on_device else bare,
            adapters=adapters,
            kv=kv_floor(group, self._state) if serves else 0,
        )

    def hold(self, device: Device, instance: Instance, residency: Residency) -> None:
        """Reserve on device and host what ``instance`` holds with ``residency`` in place."""
        sizes = self.shape(instance.group, residency)
        for holding, size in zip(instance.holdings, sizes, strict=True):
            device.memory.resize(holding, size)
        asleep, group = residency == DORMANT, instance.group
        size = group.dormant_bytes if asleep else group.host_bytes if residency else 0
        self._state.host_memory.resize(instance.on_host, size)

    def leave(self, device: Device, instance: Instance, amount: int) -> None:
        device.leaving_bytes += amount - instance.leaving_bytes
        instance.leaving_bytes = amount

    def awake_again(self, instance: Instance) -> None:
        """Stop counting ``instance`` as a container on its host, if it is or was becoming one."""
        dormant = instance.phase in (ASLEEP, OFFLOADING) and instance.goal == DORMANT
        if dormant:
            self._state.host_of(instance).dormant_bytes -= instance.group.dormant_bytes
