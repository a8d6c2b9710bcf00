"""Fair shares: the turns in which a device serves tenants whose requests wait.

Start-time fair queueing (Goyal, Vin & Cheng 1996), counted in requests: a tenant's next request has
the turn after its last one, but none before the turn that the device has reached. So tenants that
keep requests waiting have as many begun as each other, and one that paused gets no more for it.
Requests of the same turn are weighed by the policy: by margin, or by arrival."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping

from .waiting import Request


class Turns:
    """The turns of the tenants on one device."""

    __slots__ = ("_next", "_reached")

    def __init__(self) -> None:
        self._next: dict[str, int] = {}
        self._reached = 0

    def of(self, tenant: str) -> int:
        """Return the turn of the tenant's next request."""
        return max(self._next.get(tenant, 0), self._reached)

    def begin(self, tenant: str) -> None:
        """Count a request of the tenant that begins to run."""
        self._reached = self.of(tenant)
        self._next[tenant] = self._reached + 1


def in_turn(
    waiting: Mapping[str, Iterable[Request]], turns: Turns, key: Callable[[Request], int]
) -> Iterator[Request]:
    """Yield the requests of ``waiting``, by tenant in the order of ``key``, in their turns; those
    of the same turn by ``key``."""
    heads = {tenant: iter(requests) for tenant, requests in waiting.items()}
    line = [
        (turns.of(tenant), key(first), first.id, tenant, first)
        for tenant, requests in heads.items()
        if (first := next(requests, None)) is not None
    ]
    heapq.heapify(line)
    while line:
        turn, _, _, tenant, request = line[0]
        yield request
        following = next(heads[tenant], None)
        if following is None:
            heapq.heappop(line)
        else:
            entry = (turn + 1, key(following), following.id, tenant, following)
            heapq.heapreplace(line, entry)
