"""The artifacts of a device's idle and sleeping instances, in the order of their eviction.

A density is that of the moment when an instance became idle or asleep or was weighed again, so it
is at most one keep-alive old. It is computed when something must be evicted, since instances can
become idle far more often than that. But where one eviction follows another, it is computed at that
moment, so that the next one does not wait for the densities of all that became idle before it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ...artifacts import ADAPTER, BACKBONE, DORMANT, KERNELS, LIBRARIES, Artifact
from ...instance import Instance
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

    __slots__ = ("_again", "_ahead", "_blocks", "_order", "_put")

    def __init__(self) -> None:
        self._order: list[Block] = []
        """All blocks that are computed, in their order."""
        self._blocks: dict[int, list[Block]] = {}
        """The same of each instance."""
        self._put: dict[int, tuple[Instance, Weights]] = {}
        """The instances whose blocks are still to be computed, and by what they were weighed."""
        self._again: dict[int, Together] = {}
        """The instances that were weighed with their group since their blocks were computed."""
        self._ahead = 0
        """The number of weighings that are still computed at once."""

    def put(self, instance: Instance, weights: Weights, state: State) -> None:
        """Weigh ``instance``, which replaces what it was weighed by before."""
        self._again.pop(instance.id, None)
        if self._ahead:
            self._ahead -= 1
            self._weigh(instance, weights, state)
        else:
            self._put[instance.id] = (instance, weights)

    def put_again(self, instance: int, group: Together) -> None:
        """Weigh ``instance`` by what its group is weighed by when the order is asked for."""
        self._put.pop(instance, None)
        self._again[instance] = group

    def remove(self, instance: Instance) -> None:
        """Remove the blocks of ``instance``."""
        self._put.pop(instance.id, None)
        self._again.pop(instance.id, None)
        self._take_out(self._blocks.pop(instance.id, ()))

    def order(self, state: State) -> Iterator[Block]:
        """Return the blocks, least density first; valid until an instance is put or removed."""
        for instance, weights in self._put.values():
            self._weigh(instance, weights, state)
        self._put.clear()
        for id_, group in self._again.items():
            self._weigh(state.instances[id_], group.weights, state)
            group.queues[id_] = self
        self._again.clear()
        self._ahead = AHEAD
        return iter(self._order)

    def _weigh(self, instance: Instance, weights: Weights, state: State) -> None:
        self._take_out(self._blocks.get(instance.id, ()))
        found = self._blocks[instance.id] = blocks(instance, weights, state)
        for block in found:
            insort(self._order, block)

    def _take_out(self, gone: Iterable[Block]) -> None:
        for block in gone:
            del self._order[bisect_left(self._order, block)]


@dataclass(slots=True, eq=False)
class Together:
    """By what all idle instances of a group were weighed together last. ``queues``: by instance,
    the queue that has weighed it since, and is to be told the next time."""

    weights: Weights = Weights(-1, 0.0, {})  # noqa: RUF009
    queues: dict[int, EvictionQueue] = field(default_factory=dict)

    def weigh(self, weights: Weights) -> None:
        """Weigh all idle instances by ``weights``. A queue that was told and was not asked for its
        order since is not told again: it will take the weights of that moment."""
        self.weights = weights
        for instance, queue in self.queues.items():
            queue.put_again(instance, self)
        self.queues.clear()


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
