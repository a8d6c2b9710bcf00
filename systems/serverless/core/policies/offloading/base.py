"""What is evicted when a device needs memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...artifacts import Residency
from ...devices import BackboneCopy, Device
from ...instance import Instance, Place
from ...policy import Policy
from ...state import State


@dataclass(frozen=True, slots=True)
class Eviction:
    """What instances keep (``GONE`` ends them), and the unused shared copies to drop."""

    residency: Mapping[int, Residency] = field(default_factory=dict)
    copies: tuple[BackboneCopy, ...] = ()


@dataclass(frozen=True, slots=True)
class Need:
    """``amount`` bytes on ``device`` for ``group`` over ``backbone``; neither is evicted."""

    device: Device
    amount: int
    group: str
    backbone: str


class Offloading(Policy, ABC):
    @abstractmethod
    def choose(self, need: Need, state: State, now_ns: int) -> Eviction:
        """Choose what to evict to free at least the bytes needed, or less if less can be freed.
        Never choose what a running batch uses."""

    def adapter(self, places: Sequence[Place], state: State, now_ns: int) -> Place | None:  # noqa: ARG002
        """Choose which of the unused adapters ``places`` of an instance gives its place to another
        one; None: wait. By default the one that was used least recently."""
        return min(places, key=lambda place: place.used_ns)


class NoOffloading(Offloading):
    """Evicts nothing before its keep-alive ends."""

    name = "none"

    def choose(self, need: Need, state: State, now_ns: int) -> Eviction:  # noqa: ARG002
        return Eviction()

    def adapter(self, places: Sequence[Place], state: State, now_ns: int) -> Place | None:
        oldest = super().adapter(places, state, now_ns)
        assert oldest is not None
        kept = now_ns - oldest.used_ns >= state.cluster.settings.keep_alive_ns
        return oldest if kept else None


def unused_copies(need: Need, state: State) -> list[BackboneCopy]:
    """Return the loaded shared copies without users, but the needed one, longest unused first."""
    unused = [
        copy
        for copy in state.shared_copies_on(need.device.spec.id)
        if copy.loaded and not copy.users and copy.key.backbone != need.backbone
    ]
    return sorted(unused, key=lambda copy: copy.unused_since_ns)


def held_by(instance: Instance, device: Device, state: State) -> int:
    """Return the bytes freed with ``instance``: its own, and its backbone copy if no other instance
    maps it (a shared copy can be dropped once its last instance is gone)."""
    own = device.memory.held_by(instance.holdings)
    copy = state.copies.get(instance.copy)
    alone = copy is not None and copy.users == {instance.id}
    return own + (copy.bytes if copy and alone else 0)
