"""Which ready instances of a group hold which adapters, and for which functions they lack room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from heapq import nsmallest
from itertools import islice

from .instance import Instance
from .waiting import WaitingRequests

_NOBODY: Mapping[int, Instance] = {}

_LOOKED_AT = 32
"""Of many instances that hold an adapter, so many are looked at for a request, in turn."""
_OFFERED = 8
"""The request is offered to so many of these, the least busy ones."""


class AdapterIndex:
    """The adapters in the places of a group's ready instances, loaded or being loaded. Updated at
    each change, so that a decision does not look at all instances and all functions. ``without``:
    the functions that need no adapter, which every instance can run."""

    def __init__(self, queue: WaitingRequests, without: Iterable[str]) -> None:
        self._queue, self.without = queue, frozenset(without)
        self._holders: dict[str, dict[int, Instance]] = {}
        self._held: dict[int, dict[str, None]] = {}
        self._roomy: Counter[str] = Counter()
        """By function: the holders whose spare room is not below 0."""
        self._turns: Counter[str] = Counter()
        self.spare: dict[int, int] = {}
        """The room of an instance beyond the waiting requests whose adapters it holds; below 0 if
        it has too little."""
        self.free: dict[int, Instance] = {}
        """The instances with spare room."""
        self.missing: dict[str, None] = {}
        """The functions with waiting requests whose adapters no instance holds."""
        self.crowded: dict[str, None] = {}
        """The functions with waiting requests all of whose holders have too little room."""

    # -- what changes -----------------------------------------------------------------------

    def joined(self, instance: Instance) -> None:
        """Add an instance that is ready; its places are empty."""
        self._held[instance.id] = {}
        self.spare[instance.id] = 0
        self._add_spare(instance, instance.room)
        for function in self.without:
            self.holds(instance, function)

    def left(self, instance: Instance) -> None:
        """Remove an instance that is not ready any more, if it is known."""
        if instance.id in self._held:
            for function in list(self._held[instance.id]):
                self.drops(instance, function)
            del self._held[instance.id], self.spare[instance.id]
            self.free.pop(instance.id, None)

    def holds(self, instance: Instance, function: str) -> None:
        """Note that the adapter of ``function`` gets a place of ``instance``."""
        self._held[instance.id][function] = None
        self._holders.setdefault(function, {})[instance.id] = instance
        self._roomy[function] += self.spare[instance.id] >= 0
        self._add_spare(instance, -self._queue.of(function))
        self._sort(function)

    def drops(self, instance: Instance, function: str) -> None:
        """Note that it has none any more; ignored unless ``instance`` is ready."""
        if function in self._held.get(instance.id, ()):
            self._add_spare(instance, self._queue.of(function))
            del self._held[instance.id][function]
            del self._holders[function][instance.id]
            self._roomy[function] -= self.spare[instance.id] >= 0
            self._sort(function)

    def queued(self, function: str, change: int) -> None:
        """Note that requests of ``function`` wait, or (``change`` below 0) wait no longer."""
        spare = self.spare
        for id_, instance in self._holders.get(function, _NOBODY).items():
            before = spare[id_]
            after = spare[id_] = before - change
            if (before > 0) != (after > 0):
                self._sort_free(instance, after)
            if (before >= 0) != (after >= 0):
                self._sort_roomy(id_, after)
        self._sort(function)

    def runs(self, instance: Instance, change: int) -> None:
        """Note that a ready ``instance`` runs more or (``change`` below 0) fewer requests."""
        if instance.id in self.spare:
            self._add_spare(instance, -change)

    def _add_spare(self, instance: Instance, more: int) -> None:
        before = self.spare[instance.id]
        after = self.spare[instance.id] = before + more
        if (before > 0) != (after > 0):
            self._sort_free(instance, after)
        if (before >= 0) != (after >= 0):
            self._sort_roomy(instance.id, after)

    def _sort_free(self, instance: Instance, spare: int) -> None:
        if spare > 0:
            self.free[instance.id] = instance
        else:
            del self.free[instance.id]

    def _sort_roomy(self, id_: int, spare: int) -> None:
        change = 1 if spare >= 0 else -1
        for function in self._held[id_]:
            self._roomy[function] += change
            self._sort(function)

    def _sort(self, function: str) -> None:
        """Put ``function`` into the index where it belongs."""
        self.missing.pop(function, None)
        self.crowded.pop(function, None)
        if self._queue.of(function) and not self._roomy[function]:
            index = self.crowded if self._holders.get(function) else self.missing
            index[function] = None

    # -- what is asked ----------------------------------------------------------------------

    def short(self) -> Sequence[str]:
        """Return the functions with waiting requests that lack an adapter, or room where it is, in
        the order in which they began to wait. Room elsewhere matters only if there is any."""
        found = [*self.missing, *self.crowded] if self.free else [*self.missing]
        return sorted(found, key=self._queue.since)

    def offered(self, function: str) -> Sequence[Instance]:
        """Return the instances to offer a request of ``function`` to, the least busy first."""
        holders = self._holders.get(function, {})
        able = [each for each in self._in_turn(function, holders) if each.room > 0]
        return nsmallest(_OFFERED, able, key=by_work)

    def _in_turn(self, function: str, holders: dict[int, Instance]) -> Iterable[Instance]:
        """Return up to ``_LOOKED_AT`` holders, those after the ones returned last."""
        if len(holders) <= _LOOKED_AT:
            return holders.values()
        start = self._turns[function] % len(holders)
        self._turns[function] += _LOOKED_AT
        first = list(islice(holders.values(), start, start + _LOOKED_AT))
        return first + list(islice(holders.values(), _LOOKED_AT - len(first)))


def by_work(instance: Instance) -> tuple[int, int]:
    """Order instances by the requests that they run; of equals, the oldest first."""
    return len(instance.running), instance.id
