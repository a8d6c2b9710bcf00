"""What gives way when a device must hold something new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ..artifacts import DORMANT, GONE, PARKED, Artifact, CopyKey, Residency
from ..knapsack import Item, ordered
from ..state import BackboneCopy, Device, Instance, Phase, State
from ..value import items, resting


@dataclass(frozen=True, slots=True)
class Eviction:
    """What instances are left with (``GONE`` ends them), and unused shared copies to drop."""

    residency: Mapping[int, Residency] = field(default_factory=dict)
    copies: tuple[BackboneCopy, ...] = ()


@dataclass(frozen=True, slots=True)
class Need:
    """``amount`` bytes on ``device``, for ``function`` over ``backbone``: neither gives way."""

    device: Device
    amount: int
    function: str
    backbone: str


class Offloading(Protocol):
    @property
    def name(self) -> str: ...

    def choose(self, need: Need, state: State, now_ns: int) -> Eviction:
        """What to free of at least the bytes needed, never what a running batch uses; less than
        that where less can be freed."""


class NoOffloading:
    """Nothing gives way before its keep-alive ends."""

    name = "none"

    def choose(self, need: Need, state: State, now_ns: int) -> Eviction:  # noqa: ARG002
        return Eviction()


class LeastRecentlyUsed:
    """Shared copies that nobody maps, then resting instances, longest idle first; they end."""

    name = "least-recently-used"

    def choose(self, need: Need, state: State, now_ns: int) -> Eviction:  # noqa: ARG002
        amount = need.amount
        copies: list[BackboneCopy] = []
        ended: dict[int, Residency] = {}
        for copy in unused_copies(need, state):
            if amount <= 0:
                break
            copies.append(copy)
            amount -= copy.bytes
        for instance in reversed(resting(need.device, state)):
            if amount <= 0:
                break
            freed = held_by(instance, need.device, state)
            if freed and instance.function.id != need.function:
                ended[instance.id] = GONE
                amount -= freed
        return Eviction(ended, tuple(copies))


class ValueDensity:
    """ServerlessLoRA's dynamic offloader: artifacts outside the running batches, the least value
    for its bytes first, to the container; a backbone only after all its adapters. A copy that
    nobody maps is worth nothing to anyone here and goes first."""

    name = "least-value-density"

    def choose(self, need: Need, state: State, now_ns: int) -> Eviction:
        amount = need.amount
        copies: list[BackboneCopy] = []
        for copy in unused_copies(need, state):
            if amount <= 0:
                return Eviction(copies=tuple(copies))
            copies.append(copy)
            amount -= copy.bytes
        if amount <= 0:
            return Eviction(copies=tuple(copies))
        return Eviction(self._offloaded(need, amount, state, now_ns), tuple(copies))

    def _offloaded(
        self, need: Need, amount: int, state: State, now_ns: int
    ) -> dict[int, Residency]:
        device = need.device
        instances = [
            instance
            for instance in resting(device, state)
            if instance.function.id != need.function and _on_device(instance)
        ]
        by_id = {instance.id: instance for instance in instances}
        left: dict[int, Residency] = {}
        order = ordered(
            items(instances, state, now_ns, kernels=True), {device.spec.id: device.memory.capacity}
        )
        for block in reversed(order):
            for item in reversed(block.items):
                if amount <= 0:
                    return left
                freed = _give_up(item, by_id, left, need, state)
                amount -= freed
                if freed and state.explain is not None:
                    state.note(
                        "offload",
                        device=device.spec.id,
                        item=str(item.key),
                        density=block.density,
                        bytes=freed,
                        short_bytes=amount,
                    )
        return left


def _on_device(instance: Instance) -> bool:
    return Artifact.ADAPTER in instance.in_place


def _give_up(
    item: Item,
    by_id: Mapping[int, Instance],
    left: dict[int, Residency],
    need: Need,
    state: State,
) -> int:
    """Take ``item`` from its instance; the bytes that this frees."""
    memory = need.device.memory
    if isinstance(item.key, CopyKey):
        # Its adapters came before it: the copy goes with the last of those that map it.
        if item.key.backbone == need.backbone and item.key.shared:
            return 0
        copy = state.copies.get(item.key)
        return copy.bytes if copy else 0
    assert isinstance(item.key, tuple)
    instance = by_id[item.key[0]]
    if item.key[1] is Artifact.KERNELS:
        if instance.phase is Phase.ASLEEP:
            return 0
        left[instance.id] = PARKED
        return memory.held(instance.holdings[2])
    left[instance.id] = DORMANT
    return sum(memory.held(holding) for holding in instance.holdings[:2])


def unused_copies(need: Need, state: State) -> list[BackboneCopy]:
    """Loaded shared copies that nobody maps, but the needed one, longest unused first."""
    unused = [
        copy
        for copy in state.shared_copies_on(need.device.spec.id)
        if copy.loaded and not copy.users and copy.key.backbone != need.backbone
    ]
    return sorted(unused, key=lambda copy: copy.unused_since_ns)


def held_by(instance: Instance, device: Device, state: State) -> int:
    """Bytes that go with ``instance``: its own, and a copy of the backbone that nobody else
    maps (a shared one can be dropped once its last instance is gone)."""
    own = sum(device.memory.held(holding) for holding in instance.holdings)
    copy = state.copies.get(instance.copy)
    alone = copy is not None and copy.users == {instance.id}
    return own + (copy.bytes if copy and alone else 0)
