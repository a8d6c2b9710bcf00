"""What gives way when a device must hold something new."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..state import BackboneCopy, Device, Instance, Phase, State


@dataclass(frozen=True, slots=True)
class Eviction:
    """Instances to stop and unused shared copies to drop."""

    instances: tuple[Instance, ...] = ()
    copies: tuple[BackboneCopy, ...] = ()


class Offloading(Protocol):
    @property
    def name(self) -> str: ...

    def choose(self, device: Device, amount: int, spare: str, state: State) -> Eviction:
        """What to free of at least ``amount`` bytes on ``device``, never what a running batch
        uses and never backbone ``spare``; less than that where less can be freed."""


class LeastRecentlyUsed:
    """Idle instances, longest idle first, and before them shared copies that nobody maps."""

    name = "least-recently-used"

    def choose(self, device: Device, amount: int, spare: str, state: State) -> Eviction:
        copies: list[BackboneCopy] = []
        instances: list[Instance] = []
        for copy in self._unused(device, spare, state):
            if amount <= 0:
                break
            copies.append(copy)
            amount -= copy.bytes
        for instance in self._idle(device, state):
            if amount <= 0:
                break
            instances.append(instance)
            amount -= held_by(instance, device, state)
        return Eviction(tuple(instances), tuple(copies))

    def _unused(self, device: Device, spare: str, state: State) -> list[BackboneCopy]:
        unused = [
            copy
            for copy in state.copies_on(device.spec.id)
            if copy.key.shared and copy.loaded and not copy.users and copy.key.backbone != spare
        ]
        return sorted(unused, key=lambda copy: copy.unused_since_ns)

    def _idle(self, device: Device, state: State) -> list[Instance]:
        idle = [
            instance
            for instance in device.instances.values()
            if instance.phase is Phase.READY
            and not instance.running
            and not state.queue(instance.function.id)
        ]
        return sorted(idle, key=lambda instance: instance.idle_since_ns)


def held_by(instance: Instance, device: Device, state: State) -> int:
    """Bytes that go with ``instance``: its own, and a copy of the backbone that nobody else
    maps (a shared one can be dropped once its last instance is gone)."""
    own = sum(device.memory.held(holding) for holding in instance.holdings)
    copy = state.copies.get(instance.copy)
    alone = copy is not None and copy.users <= {instance.id}
    return own + (copy.bytes if copy and alone else 0)
