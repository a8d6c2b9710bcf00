"""The artifacts of a device's idle and sleeping instances, in the order of their eviction.

A density is that of the moment when an instance became idle or asleep or was weighed again, so it
is at most one keep-alive old. It is computed when something must be evicted, since instances can
become idle far more often than that. But where one eviction follows another, it is computed at that
moment, so that the next one does not wait for the densities of all that became idle before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import heapify, heappop
from itertools import chain
from typing import NamedTuple

from ...artifacts import ADAPTER, BACKBONE, DORMANT, KERNELS, LIBRARIES, Artifact
from ...instance import READY, Instance
from ...state import State

_PARKED_AS = (ADAPTER, BACKBONE)
"""The last artifact of a parked instance: of one with places, the backbone that it maps."""
AHEAD = 32
"""The number of weighings after an eviction whose densities are computed at once: several times as
many as between two evictions of a device that has no room for another instance."""


class Weights(NamedTuple):
    """What the value of a group's artifacts was computed by when one of its instances was weighed.
    ``turn``: the number of that weighing."""

    turn: int
    rate: float
    delay_ns: Mapping[Artifact, float]


class Block(NamedTuple):
    """Artifacts of an instance that are evicted one after another, with their joint density, value
    per byte: ``KERNELS`` with the KV cache and the places of adapters, then ``ADAPTER``
    (``BACKBONE`` where adapters have places) with the workspaces (and the backbone, if private),
    then ``LIBRARIES``, if the bare process holds device memory. ``number`` is the block's own among
    those of the instance."""

    density: float
    turn: int
    instance: int
    number: int
    artifacts: tuple[Artifact, ...]


class EvictionQueue:
    """The blocks of one device by value density, least first; of equals, the longest idle first."""

    __slots__ = ("_ahead", "_blocks", "_idle", "_put", "_seen")

    def __init__(self) -> None:
        self._blocks: dict[int, list[Block]] = {}
        """Those of each instance, unless they are still to be computed."""
        self._put: dict[int, tuple[Instance, Weights]] = {}
        """What they are still to be computed of, and by what it was weighed."""
        self._ahead = 0
        """The number of weighings that are still computed at once."""
        self._seen = -1
        """The last weighing when the order was asked for last."""
        self._idle: dict[int, str] = {}
        """The groups of those that are not asleep, which are weighed with their group too."""

    def put(self, instance: Instance, weights: Weights, state: State) -> None:
        """Weigh ``instance``, which replaces what it was weighed by before."""
        if instance.phase is READY:
            self._idle[instance.id] = instance.group.id
        if self._ahead:
            self._ahead -= 1
            self._blocks[instance.id] = blocks(instance, weights, state)
        else:
            self._put[instance.id] = (instance, weights)

    def remove(self, instance: Instance) -> None:
        """Remove the blocks of ``instance``."""
        self._idle.pop(instance.id, None)
        self._put.pop(instance.id, None)
        self._blocks.pop(instance.id, None)

    def order(self, of_groups: Mapping[str, Weights], turn: int, state: State) -> Iterator[Block]:
        """Yield the blocks, least density first. ``of_groups``: by what all idle instances of a
        group were weighed last; ``turn``: the last weighing of all."""
        for id_, (instance, weights) in self._put.items():
            self._blocks[id_] = blocks(instance, weights, state)
        self._put.clear()
        self._weigh_with_groups(of_groups, state)
        self._seen, self._ahead = turn, AHEAD
        heap = list(chain.from_iterable(self._blocks.values()))
        heapify(heap)
        while heap:
            yield heappop(heap)

    def _weigh_with_groups(self, of_groups: Mapping[str, Weights], state: State) -> None:
        """Weigh again the idle instances whose group was weighed after them."""
        for id_, group in self._idle.items():
            together = of_groups.get(group)
            if together is None or together.turn <= self._seen:
                continue
            own = self._blocks[id_]
            if own and own[0].turn < together.turn:
                self._blocks[id_] = blocks(state.instances[id_], together, state)


def blocks(instance: Instance, weights: Weights, state: State) -> list[Block]:
    """Return the blocks of what is in place in order of eviction, the reverse of precedence:
    kernels go first. What is denser than the next forms one block with it, of their joint density
    (as in ``core/knapsack.py``)."""
    if instance.in_place <= DORMANT and not instance.group.bare_bytes:
        return []  # a container, which holds nothing on the device
    joined: list[tuple[float, float, int, tuple[Artifact, ...]]] = []
    for artifact, value, size in _worth(instance, weights, state):
        density = value / (size or 1)
        artifacts: tuple[Artifact, ...] = (artifact,) if artifact in instance.in_place else ()
        while joined and joined[-1][0] > density:
            _, more, bytes_, before = joined.pop()
            value, size, artifacts = more + value, bytes_ + size, before + artifacts
            density = value / (size or 1)
        joined.append((density, value, size, artifacts))
    return [
        Block(density, weights.turn, instance.id, number, artifacts)
        for number, (density, _, _, artifacts) in enumerate(joined)
        if artifacts
    ]


def _worth(instance: Instance, weights: Weights, state: State) -> list[tuple[Artifact, float, int]]:
    """Return value (delay × rate) and bytes of what can be evicted, in the order of eviction."""
    spec, copy = instance.group, instance.copy
    _, rate, delay_ns = weights
    found = []
    if KERNELS in instance.in_place:
        size = spec.kv_bytes(state.cluster.settings.max_context_tokens) + spec.places_bytes
        found.append((KERNELS, rate * max(delay_ns[KERNELS], 1.0), size))
    size, value = spec.parked_bytes, rate * max(delay_ns[ADAPTER], 1.0)
    if not copy.shared:
        size += state.cluster.copy_bytes(copy)
        value += rate * delay_ns[BACKBONE]
    found.append((_PARKED_AS[bool(spec.places)], value, size))
    if spec.bare_bytes:
        value = rate * max(delay_ns[LIBRARIES], 1.0)
        found.append((LIBRARIES, value, spec.bare_bytes))
    return found
