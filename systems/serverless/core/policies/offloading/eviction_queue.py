"""The artifacts of a device's idle and sleeping instances, in the order of their eviction.

A density is that of the moment when an instance became idle or asleep or was weighed again, so it
is at most one keep-alive old. It is computed when something must be evicted: instances become idle
far more often than that.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ...artifacts import DORMANT, Artifact
from ...instance import Instance, Phase
from ...state import State

_PARKED_AS = (Artifact.ADAPTER, Artifact.BACKBONE)
"""The last artifact of a parked instance: of one with places, the backbone that it maps."""


class Weights(NamedTuple):
    """What the value of a group's artifacts was computed by when one of its instances was weighed.
    ``turn``: the number of that weighing."""

    turn: int
    rate: float
    delay_ns: Mapping[Artifact, float]


class Piece(NamedTuple):
    """A part of an instance that can be evicted: ``KERNELS`` with the KV cache and the places of
    adapters, then ``ADAPTER`` (``BACKBONE`` where adapters have places) with the workspaces (and
    the backbone, if private), then ``LIBRARIES``, if the bare process holds device memory.
    ``density`` is value per byte; ``number`` is the piece's own among those of the instance."""

    density: float
    turn: int
    instance: int
    number: int
    artifact: Artifact


class EvictionQueue:
    """The pieces of one device by value density, least first; of equals, the longest idle first."""

    __slots__ = ("_idle", "_of", "_pieces", "_put", "_turn_of")

    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        """In order."""
        self._of: dict[int, list[Piece]] = {}
        """Those of each instance, as they were computed last."""
        self._turn_of: dict[int, int] = {}
        """The weighing of an instance that its pieces are of."""
        self._put: dict[int, tuple[Instance, Weights]] = {}
        """What was weighed, and by what, since pieces were computed last."""
        self._idle: dict[int, Instance] = {}
        """Those that are not asleep, and are weighed with their group too."""

    def put(self, instance: Instance, weights: Weights) -> None:
        """Weigh ``instance``, which replaces what it was weighed by before."""
        self._put[instance.id] = (instance, weights)
        if instance.phase is Phase.READY:
            self._idle[instance.id] = instance

    def remove(self, instance: Instance) -> None:
        """Remove the pieces of ``instance``."""
        self._idle.pop(instance.id, None)
        self._put.pop(instance.id, None)
        self._turn_of.pop(instance.id, None)
        self._take_out(instance.id)

    def order(self, of_groups: Mapping[str, Weights], state: State) -> Iterable[Piece]:
        """Return the pieces, least density first. ``of_groups``: by what all idle instances of a
        group were weighed last."""
        self._weigh_with_groups(of_groups)
        for id_, (instance, weights) in self._put.items():
            self._take_out(id_)
            self._turn_of[id_] = weights.turn
            self._of[id_] = found = pieces(instance, weights, state)
            for piece in found:
                insort(self._pieces, piece)
        self._put.clear()
        return self._pieces

    def _take_out(self, id_: int) -> None:
        for piece in self._of.pop(id_, ()):
            del self._pieces[bisect_left(self._pieces, piece)]

    def _weigh_with_groups(self, of_groups: Mapping[str, Weights]) -> None:
        for id_, instance in self._idle.items():
            together = of_groups.get(instance.group.id)
            if together is not None:
                own = self._put.get(id_)
                if together.turn > (own[1].turn if own else self._turn_of[id_]):
                    self._put[id_] = (instance, together)


def pieces(instance: Instance, weights: Weights, state: State) -> list[Piece]:
    """Return the pieces in place in order of eviction, the reverse of precedence: kernels go first.
    If a piece is denser than the next, the two form one block with their joint density (as in
    ``core/knapsack.py``)."""
    if instance.in_place <= DORMANT and not instance.group.bare_bytes:
        return []  # a container, which holds nothing on the device
    worth = _worth(instance, weights, state)
    turn, id_ = weights.turn, instance.id
    return [
        Piece(density, turn, id_, number, worth[number][0])
        for number, density in enumerate(_densities(worth))
        if worth[number][0] in instance.in_place
    ]


def _densities(worth: Sequence[tuple[Artifact, float, int]]) -> list[float]:
    """Return the density of the block of each piece."""
    found: list[float] = []
    blocks: list[tuple[int, float, int]] = []
    for _, value, size in worth:
        count, density = 1, value / (size or 1)
        while found and found[-1] > density:
            before, more, bytes_ = blocks.pop()
            count, value, size = before + count, more + value, bytes_ + size
            del found[-before:]
            density = value / (size or 1)
        blocks.append((count, value, size))
        found += [density] * count
    return found


def _worth(instance: Instance, weights: Weights, state: State) -> list[tuple[Artifact, float, int]]:
    """Return value (delay × rate) and bytes of what can be evicted, in the order of eviction."""
    spec, copy = instance.group, instance.copy
    _, rate, delay_ns = weights
    found = []
    if Artifact.KERNELS in instance.in_place:
        size = spec.kv_bytes(state.cluster.settings.max_context_tokens) + spec.places_bytes
        found.append((Artifact.KERNELS, rate * max(delay_ns[Artifact.KERNELS], 1.0), size))
    size, value = spec.parked_bytes, rate * max(delay_ns[Artifact.ADAPTER], 1.0)
    if not copy.shared:
        size += state.cluster.copy_bytes(copy)
        value += rate * delay_ns[Artifact.BACKBONE]
    found.append((_PARKED_AS[bool(spec.places)], value, size))
    if spec.bare_bytes:
        value = rate * max(delay_ns[Artifact.LIBRARIES], 1.0)
        found.append((Artifact.LIBRARIES, value, spec.bare_bytes))
    return found
