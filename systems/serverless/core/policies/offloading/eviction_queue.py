"""The artifacts of a device's idle and sleeping instances, in the order of their eviction.

The order is updated at each change, not sorted at each decision: under memory pressure, the cost of
a decision grows with the number of victims, not of functions. A density is computed when an
instance becomes idle or asleep or is weighed again, so it is at most one keep-alive old.
"""

from __future__ import annotations

import itertools
from bisect import insort
from collections.abc import Iterator
from typing import NamedTuple

from ...artifacts import Artifact
from ...state import Instance, State

_PIECES = 4
"""The distance between turns. An instance has fewer pieces; they take consecutive turns."""
_PARKED_AS = (Artifact.ADAPTER, Artifact.BACKBONE)
"""The last artifact of a parked instance: of one with places, the backbone that it maps."""
_STALE_SHARE = 3
"""Stale entries are removed when there are more than this many entries per instance."""


class Piece(NamedTuple):
    """A part of an instance that can be evicted: ``KERNELS`` with the KV cache and the places of
    adapters, then ``ADAPTER`` (``BACKBONE`` where adapters have places) with the workspaces (and
    the backbone, if private), then ``LIBRARIES``, if the bare process holds device memory.
    ``density`` is value per byte."""

    density: float
    turn: int
    instance: int
    artifact: Artifact


class EvictionQueue:
    """The pieces of one device by value density, least first; of equals, the longest idle first."""

    __slots__ = ("_pieces", "_turn_of", "_turns")

    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        self._turn_of: dict[int, int] = {}
        self._turns = itertools.count(0, _PIECES)

    def put(self, instance: Instance, state: State, now_ns: int) -> None:
        """Weigh the pieces of ``instance``; they replace those weighed before."""
        turn = next(self._turns)
        self._turn_of[instance.id] = turn
        for piece in pieces(instance, state, now_ns, turn):
            insort(self._pieces, piece)
        if len(self._pieces) > _STALE_SHARE * len(self._turn_of) + 16:
            self._pieces = [piece for piece in self._pieces if self._counts(piece)]

    def remove(self, instance: Instance) -> None:
        """Remove the pieces of ``instance``."""
        self._turn_of.pop(instance.id, None)

    def __iter__(self) -> Iterator[Piece]:
        """Yield the pieces, least density first."""
        return filter(self._counts, self._pieces)

    def _counts(self, piece: Piece) -> bool:
        return self._turn_of.get(piece.instance) == piece.turn - piece.turn % _PIECES


def pieces(instance: Instance, state: State, now_ns: int, turn: int) -> list[Piece]:
    """Return the pieces in order of eviction, the reverse of precedence: kernels go first. If a
    piece is denser than the next, the two form one block with their joint density (as in
    ``core/knapsack.py``)."""
    blocks: list[tuple[list[Artifact], float, int]] = []
    for artifact, value, size in _worth(instance, state, now_ns):
        block = ([artifact], value, size)
        while blocks and _density(blocks[-1]) > _density(block):
            members, more, bytes_ = blocks.pop()
            block = (members + block[0], more + block[1], bytes_ + block[2])
        blocks.append(block)
    order = [(a, _density(block)) for block in blocks for a in block[0]]
    return [
        Piece(density, turn + number, instance.id, artifact)
        for number, (artifact, density) in enumerate(order)
    ]


def _density(block: tuple[list[Artifact], float, int]) -> float:
    return block[1] / max(block[2], 1)


def _worth(instance: Instance, state: State, now_ns: int) -> list[tuple[Artifact, float, int]]:
    """Return value (delay × rate) and bytes of what is in place, in the order of eviction."""
    spec = instance.group
    learnt = state.estimates(spec.id)
    rate = learnt.rate.per_second(now_ns)
    delay_ns, copy = learnt.delay_ns, instance.copy
    found = []
    if Artifact.KERNELS in instance.in_place:
        cache = spec.kv_bytes(state.cluster.settings.max_context_tokens)
        size = cache + spec.places_bytes
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
