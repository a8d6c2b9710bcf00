"""The artifacts of a device's idle and sleeping instances, in the order of their eviction.

A density is that of the moment when an instance became idle or asleep or was weighed again, so it
is at most one keep-alive old. It is computed when something must be evicted: instances become idle
far more often than that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...artifacts import Artifact
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

    __slots__ = ("_pieces", "_resting", "_weighed")

    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        self._resting: dict[int, tuple[Instance, Weights]] = {}
        self._weighed: dict[int, int] = {}
        """The weighing that the pieces of an instance are of."""

    def put(self, instance: Instance, weights: Weights) -> None:
        """Weigh ``instance``, which replaces what it was weighed by before."""
        self._resting[instance.id] = (instance, weights)

    def remove(self, instance: Instance) -> None:
        """Remove the pieces of ``instance``."""
        self._resting.pop(instance.id, None)

    def order(self, of_groups: Mapping[str, Weights], state: State) -> Sequence[Piece]:
        """Return the pieces, least density first. ``of_groups``: by what all idle instances of a
        group were weighed last."""
        newest = {
            instance.id: _newest(instance, own, of_groups)
            for instance, own in self._resting.values()
        }
        turns = {id_: weights.turn for id_, weights in newest.items()}
        if turns != self._weighed:
            before = self._weighed
            kept = [piece for piece in self._pieces if turns.get(piece.instance) == piece.turn]
            for id_, turn in turns.items():
                if before.get(id_) != turn:
                    kept += pieces(self._resting[id_][0], newest[id_], state)
            kept.sort()
            self._pieces, self._weighed = kept, turns
        return self._pieces


def _newest(instance: Instance, own: Weights, of_groups: Mapping[str, Weights]) -> Weights:
    """Return by what an instance was weighed last, by itself or with its group."""
    together = of_groups.get(instance.group.id, own)
    return together if together.turn > own.turn and instance.phase is Phase.READY else own


def pieces(instance: Instance, weights: Weights, state: State) -> list[Piece]:
    """Return the pieces in order of eviction, the reverse of precedence: kernels go first. If a
    piece is denser than the next, the two form one block with their joint density (as in
    ``core/knapsack.py``)."""
    blocks: list[tuple[list[Artifact], float, int]] = []
    for artifact, value, size in _worth(instance, weights, state):
        block = ([artifact], value, size)
        while blocks and _density(blocks[-1]) > _density(block):
            members, more, bytes_ = blocks.pop()
            block = (members + block[0], more + block[1], bytes_ + block[2])
        blocks.append(block)
    order = [(a, _density(block)) for block in blocks for a in block[0]]
    return [
        Piece(density, weights.turn, instance.id, number, artifact)
        for number, (artifact, density) in enumerate(order)
    ]


def _density(block: tuple[list[Artifact], float, int]) -> float:
    return block[1] / max(block[2], 1)


def _worth(instance: Instance, weights: Weights, state: State) -> list[tuple[Artifact, float, int]]:
    """Return value (delay × rate) and bytes of what is in place, in the order of eviction."""
    spec, copy = instance.group, instance.copy
    _, rate, delay_ns = weights
    found = []
    if Artifact.KERNELS in instance.in_place:
        cache = spec.kv_bytes(state.cluster.settings.max_context_tokens)
        size = cache + spec.places_bytes
        found.append((Artifact.KERNELS, rate * max(delay_ns[Artifact.KERNELS], 1.0), size))
    size, value = spec.parked_bytes, rate * max(delay_ns[Artifact.ADAPTER], 1.0)
    if not copy.shared:
        size += state.cluster.backbones[copy.backbone].bytes
        value += rate * delay_ns[Artifact.BACKBONE]
    found.append((_PARKED_AS[bool(spec.places)], value, size))
    if spec.bare_bytes:
        value = rate * max(delay_ns[Artifact.LIBRARIES], 1.0)
        found.append((Artifact.LIBRARIES, value, spec.bare_bytes))
    return found
