"""What gives way when a device must hold something new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ..artifacts import DORMANT, GONE, PARKED, Artifact, Residency
from ..resting import Piece
from ..state import BackboneCopy, Device, Instance, Phase, State
from ..value import resting


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

    def choose(self, need: Need, state: State, now_ns: int) -> Eviction:  # noqa: ARG002
        amount = need.amount
        copies: list[BackboneCopy] = []
        for copy in unused_copies(need, state):
            if amount <= 0:
                return Eviction(copies=tuple(copies))
            copies.append(copy)
            amount -= copy.bytes
        if amount <= 0:
            return Eviction(copies=tuple(copies))
        return Eviction(self._offloaded(need, amount, state), tuple(copies))

    def _offloaded(self, need: Need, amount: int, state: State) -> dict[int, Residency]:
        left: dict[int, Residency] = {}
        for piece in need.device.resting:
            if amount <= 0:
                break
            instance = state.instances.get(piece.instance)
            if instance is None or not _gives(instance, piece, need, state):
                continue
            freed = _give_up(instance, piece, left, need, state)
            amount -= freed
            if state.explain is not None:
                state.note(
                    "offload",
                    device=need.device.spec.id,
                    instance=instance.id,
                    function=instance.function.id,
                    artifact=piece.artifact.value,
                    density=piece.density,
                    bytes=freed,
                    short_bytes=amount,
                )
        return left


def _gives(instance: Instance, piece: Piece, need: Need, state: State) -> bool:
    """Whether the piece is still there and nothing needs it."""
    return (
        piece.artifact in instance.in_place
        and instance.function.id != need.function
        and (instance.phase is Phase.READY or instance.phase is Phase.ASLEEP)
        and not instance.busy
        and not state.queues.get(instance.function.id)
    )


def _give_up(
    instance: Instance, piece: Piece, left: dict[int, Residency], need: Need, state: State
) -> int:
    """Take the piece; the bytes that this frees. A shared backbone goes with the last of those
    that map it, unless it is the one that is needed."""
    held = need.device.memory.held
    context, adapter, cache = instance.holdings
    bare = instance.function.bare_bytes
    if piece.artifact is Artifact.KERNELS:
        left[instance.id] = PARKED
        return held(cache)
    if piece.artifact is Artifact.LIBRARIES:
        left[instance.id] = GONE
        return bare
    left[instance.id] = DORMANT
    freed = held(context) - bare + held(adapter)
    copy = state.copies.get(instance.copy)
    if (copy is not None and copy.key.backbone != need.backbone) or not instance.copy.shared:
        assert copy is not None
        gone = all(left.get(user) in (DORMANT, GONE) for user in copy.users)
        freed += copy.bytes if gone else 0
    return freed


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
