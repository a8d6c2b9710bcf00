"""Decides which replica holds which adapters and serves which requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs, in units of one unmerged batch. ``merged``: a merged batch; ``load``: loading an
    adapter into a replica."""

    merged: float
    load: float


@dataclass(frozen=True, slots=True)
class Place:
    """The replica of a request. ``brought``: the adapter to load for it; ``evicted``: the adapter
    to unload first."""

    request: int
    replica: int
    brought: str | None = None
    evicted: str | None = None


class _Counts:
    """The requests of a replica by adapter, in batches of ``batch``: ``full`` ones of one adapter,
    and the ``rest`` of the requests."""

    __slots__ = ("_batch", "full", "of", "rest")

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self.full = self.rest = 0
        self.of: Counter[str | None] = Counter()

    def add(self, adapter: str | None, change: int) -> None:
        before = self.of[adapter]
        self.of[adapter] = after = before + change
        self.full += after // self._batch - before // self._batch
        self.rest += after % self._batch - before % self._batch


class Placement:
    """Tracks adapters and requests by replica; each replica holds up to ``capacity`` adapters.
    Requests without an adapter can run on any replica."""

    def __init__(
        self, adapters: Sequence[str], replicas: int, capacity: int, batch: int, costs: Costs
    ) -> None:
        self._capacity, self._batch, self._costs = capacity, batch, costs
        self._requests: dict[int, tuple[str | None, int]] = {}
        self._counts = [_Counts(batch) for _ in range(replicas)]
        self._held: list[dict[str, None]] = [{} for _ in range(replicas)]
        for turn in range(replicas):
            for index, adapter in enumerate(adapters):
                held = self._held[(index + turn) % replicas]
                if len(held) < capacity:
                    held[adapter] = None

    def held(self, replica: int) -> tuple[str, ...]:
        """Return the adapters of a replica, least recently used first."""
        return tuple(self._held[replica])

    def replica_of(self, request: int) -> int:
        return self._requests[request][1]

    def cost(self, replica: int) -> float:
        """Return the cost of the queued batches: full batches of one adapter run merged, the
        remaining requests in mixed batches."""
        counts = self._counts[replica]
        return counts.full * self._costs.merged + counts.rest / self._batch

    def admit(self, request: int, adapter: str | None) -> Place:
        """Place a request on the cheapest replica, including the cost of loading its adapter."""
        able = [r for r in self._all() if self._evictable(r, adapter) is not _FULL]
        where = min(able or self._all(), key=lambda r: (self._price(r, adapter), r))
        self._requests[request] = adapter, where
        self._counts[where].add(adapter, 1)
        return Place(request, where, *self._take(where, adapter))

    def finished(self, request: int) -> None:
        adapter, replica = self._requests.pop(request)
        self._counts[replica].add(adapter, -1)

    def rebalance(self, started: frozenset[int]) -> Iterator[Place]:
        """Yield requests to move, each at most once, with their adapters where the target lacks
        them, until no move lowers the cost of the busiest replica. Requests that have not
        ``started`` move first: they have no keys and values to transfer."""
        left = dict(self._requests)
        while left:
            source = max(self._all(), key=self.cost)
            adapters = {adapter for adapter, replica in left.values() if replica == source}
            others = [replica for replica in self._all() if replica != source]
            moves = [move for t in others for move in self._moves(adapters, source, t)]
            if not moves:
                return
            _, adapter, target = min(moves, key=lambda move: (move[0], str(move[1]), move[2]))
            mine = [id_ for id_, at in left.items() if at == (adapter, source)]
            request = min(mine, key=lambda id_: (id_ in started, -id_))
            del left[request]
            yield self._move(request, target)

    def _moves(
        self, adapters: set[str | None], source: int, target: int
    ) -> Iterator[tuple[float, str | None, int]]:
        """Yield (cost of the busier of the two afterwards, adapter, target) of moves that pay."""
        before = self.cost(source)
        for adapter in adapters:
            if self._evictable(target, adapter) is not _FULL:
                self._shift(adapter, source, target)
                load = 0.0 if self._has(target, adapter) else self._costs.load
                after = max(self.cost(source), self.cost(target) + load)
                self._shift(adapter, target, source)
                if after < before - 1e-9:
                    yield after, adapter, target

    def _move(self, request: int, target: int) -> Place:
        adapter, source = self._requests[request]
        self._shift(adapter, source, target)
        self._requests[request] = adapter, target
        return Place(request, target, *self._take(target, adapter))

    def _shift(self, adapter: str | None, source: int, target: int) -> None:
        self._counts[source].add(adapter, -1)
        self._counts[target].add(adapter, 1)

    def _price(self, replica: int, adapter: str | None) -> float:
        return self.cost(replica) + (0.0 if self._has(replica, adapter) else self._costs.load)

    def _has(self, replica: int, adapter: str | None) -> bool:
        return adapter is None or adapter in self._held[replica]

    def _evictable(self, replica: int, adapter: str | None) -> str | None:
        """Return the adapter to evict. None: none has to be; ``_FULL``: none can be."""
        held = self._held[replica]
        if self._has(replica, adapter) or len(held) < self._capacity:
            return None
        return next((each for each in held if not self._counts[replica].of[each]), _FULL)

    def _take(self, replica: int, adapter: str | None) -> tuple[str | None, str | None]:
        """Return the adapter to load and the one to evict. If no adapter is idle, none is evicted,
        and the replica exceeds its capacity."""
        if adapter is None:
            return None, None
        held = self._held[replica]
        brought = None if adapter in held else adapter
        evicted = self._evictable(replica, adapter)
        evicted = None if evicted is _FULL else evicted
        if evicted is not None:
            del held[evicted]
        held.pop(adapter, None)
        held[adapter] = None
        return brought, evicted

    def _all(self) -> range:
        return range(len(self._counts))


_FULL = "\0"
