"""ServerlessLoRA's dynamic offloader."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

from ...artifacts import DORMANT, GONE, KERNELS, LIBRARIES, PARKED, Artifact, Residency
from ...devices import BackboneCopy
from ...instance import Instance, Place
from ...state import State
from .base import Eviction, Need, Offloading, unused_copies
from .eviction_queue import EvictionQueue, Together, Weights


class ValueDensity(Offloading):
    """ServerlessLoRA's dynamic offloader. Evicts artifacts outside the running batches, the least
    value per byte first, down to the container; a backbone only after all its adapters. A copy that
    no instance maps has no value on this device and goes first."""

    name = "least-value-density"

    def __init__(self) -> None:
        self._queues: defaultdict[str, EvictionQueue] = defaultdict(EvictionQueue)
        self._of_groups: defaultdict[str, Together] = defaultdict(Together)
        self._turns = itertools.count()

    def rested(self, instance: Instance, state: State, now_ns: int) -> None:
        group, queue = instance.group.id, self._queues[instance.device]
        queue.put(instance, self._weights(group, state, now_ns), state)
        if instance.idle:
            self._of_groups[group].queues[instance.id] = queue

    def group_rested(self, group: str, state: State, now_ns: int) -> None:
        self._of_groups[group].weigh(self._weights(group, state, now_ns))

    def _weights(self, group: str, state: State, now_ns: int) -> Weights:
        learnt = state.estimates(group)
        return Weights(next(self._turns), learnt.rate.per_second(now_ns), learnt.delay_ns)

    def left_rest(self, instance: Instance) -> None:
        self._of_groups[instance.group.id].queues.pop(instance.id, None)
        self._queues[instance.device].remove(instance)

    def device_left(self, device: str) -> None:
        self._queues.pop(device, None)

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

    def adapter(self, places: Sequence[Place], state: State, now_ns: int) -> Place | None:  # noqa: ARG002
        """Choose the adapter of the least value: loading delays and places are equal within a
        group, so the rate decides; of equals, the one used least recently."""
        found, least = places[0], math.inf
        for place in places:
            rate = place.rate.per_second(now_ns)
            if rate < least or (rate == least and place.used_ns < found.used_ns):
                found, least = place, rate
        return found

    def _offloaded(self, need: Need, amount: int, state: State) -> dict[int, Residency]:
        left: dict[int, Residency] = {}
        for instance, artifact, density in self._offered(need, state):
            if amount <= 0:
                break
            freed = _give_up(instance, artifact, left, need, state)
            amount -= freed
            if state.explain is not None:
                state.note(
                    "offload",
                    device=need.device.spec.id,
                    instance=instance.id,
                    group=instance.group.id,
                    artifact=artifact.value,
                    density=density,
                    bytes=freed,
                    short_bytes=amount,
                )
        return left

    def _offered(self, need: Need, state: State) -> Iterator[tuple[Instance, Artifact, float]]:
        """Yield what is in place and not needed, least density first."""
        queue = self._queues[need.device.spec.id]
        for block in queue.order(state):
            instance = state.instances.get(block.instance)
            if instance is None or instance.group.id == need.group or not state.at_rest(instance):
                continue
            for artifact in block.artifacts:
                if artifact in instance.in_place:
                    yield instance, artifact, block.density


def _give_up(
    instance: Instance, artifact: Artifact, left: dict[int, Residency], need: Need, state: State
) -> int:
    """Evict the artifact; return the bytes that this frees. A shared backbone is freed with the
    last instance that maps it, unless it is the one that is needed."""
    held = need.device.memory.held
    context, adapters, cache = instance.holdings
    bare = instance.group.bare_bytes
    if artifact is KERNELS:
        left[instance.id] = PARKED
        return held(cache) + instance.group.places_bytes
    if artifact is LIBRARIES:
        left[instance.id] = GONE
        return bare
    left[instance.id] = DORMANT
    freed = held(context) - bare + min(held(adapters), instance.group.adapter_bytes)
    copy = state.copies.get(instance.copy)
    if (copy is not None and copy.key.backbone != need.backbone) or not instance.copy.shared:
        assert copy is not None
        gone = all(left.get(user) in (DORMANT, GONE) for user in copy.users)
        freed += copy.bytes if gone else 0
    return freed
