"""What gives way when a device must hold something new."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from ...artifacts import Residency
from ...policy import Policy
from ...state import BackboneCopy, Device, Instance, State


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


class Offloading(Policy, ABC):
    @abstractmethod
    def choose(self, need: Need, state: State, now_ns: int) -> Eviction:
        """What to free of at least the bytes needed, never what a running batch uses; less than
        that where less can be freed."""


class NoOffloading(Offloading):
    """Nothing gives way before its keep-alive ends."""

    name = "none"

    def choose(self, need: Need, state: State, now_ns: int) -> Eviction:  # noqa: ARG002
        return Eviction()


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
