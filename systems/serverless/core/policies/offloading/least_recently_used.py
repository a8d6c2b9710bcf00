"""Evicts whole instances, the longest idle first."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterator

from ...artifacts import GONE, Residency
from ...devices import BackboneCopy
from ...instance import Instance
from ...state import State
from .base import Eviction, Need, Offloading, held_by, unused_copies


class LeastRecentlyUsed(Offloading):
    """Drops unused shared copies, then ends idle or sleeping instances, longest idle first."""

    name = "least-recently-used"

    def __init__(self) -> None:
        self._orders: defaultdict[str, _IdleOrder] = defaultdict(_IdleOrder)

    def rested(self, instance: Instance, state: State, now_ns: int) -> None:  # noqa: ARG002
        self._orders[instance.device].put(instance)

    def group_rested(self, group: str, state: State, now_ns: int) -> None:
        """Do nothing: the instances are idle since the same times as before."""

    def left_rest(self, instance: Instance) -> None:
        self._orders[instance.device].remove(instance)

    def device_left(self, device: str) -> None:
        self._orders.pop(device, None)

    def choose(self, need: Need, state: State, now_ns: int) -> Eviction:  # noqa: ARG002
        amount = need.amount
        copies: list[BackboneCopy] = []
        ended: dict[int, Residency] = {}
        for copy in unused_copies(need, state):
            if amount <= 0:
                break
            copies.append(copy)
            amount -= copy.bytes
        for id_ in self._orders[need.device.spec.id]:
            if amount <= 0:
                break
            instance = state.instances[id_]
            if instance.group.id == need.group or not state.at_rest(instance):
                continue
            freed = held_by(instance, need.device, state)
            if freed:
                ended[instance.id] = GONE
                amount -= freed
        return Eviction(ended, tuple(copies))


class _IdleOrder:
    """Idle and sleeping instances of one device, the longest idle first; of equals, the newest."""

    __slots__ = ("_entries", "_entry_of")

    def __init__(self) -> None:
        self._entries: list[tuple[int, int]] = []
        self._entry_of: dict[int, tuple[int, int]] = {}

    def put(self, instance: Instance) -> None:
        entry = (instance.idle_since_ns, -instance.id)
        if self._entry_of.get(instance.id) != entry:
            self.remove(instance)
            self._entry_of[instance.id] = entry
            insort(self._entries, entry)

    def remove(self, instance: Instance) -> None:
        entry = self._entry_of.pop(instance.id, None)
        if entry is not None:
            del self._entries[bisect_left(self._entries, entry)]

    def __iter__(self) -> Iterator[int]:
        return (-negated for _, negated in self._entries)
