"""Limits of the requests of one function or one caller: how many in flight, how many waiting, and
at which rate. Times are passed in, as integer nanoseconds."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

RETRY_AFTER_NS = 1_000_000_000
"""For requests that wait for others to end: when they will is not known."""


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Limits that hold for each function, or for each caller, by itself. None: no limit."""

    in_flight: int | None = None
    """Requests that were accepted and have not ended."""
    waiting: int | None = None
    """Those of them that no instance runs."""
    rate_per_s: float | None = None
    """Requests a second in the long run; ``burst`` of them may come at once."""
    burst: int = 1


UNLIMITED = RequestLimits()


@dataclass(frozen=True, slots=True)
class Excess:
    """Why a request is rejected, and after which time from now a retry may be accepted."""

    reason: str
    retry_after_ns: int


class TokenBucket:
    """Holds up to ``burst`` tokens and gains ``rate_per_s`` a second; a request takes one. Stored
    as the time at which it is full (the generic cell rate algorithm, ITU-T I.371)."""

    __slots__ = ("_depth_ns", "_full_ns", "_period_ns")

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._period_ns = math.ceil(1e9 / rate_per_s)
        self._depth_ns = self._period_ns * (burst - 1)
        self._full_ns = 0

    def wait_ns(self, now_ns: int) -> int:
        """Return after which time a token will be there; 0: one is."""
        return max(self._full_ns - self._depth_ns - now_ns, 0)

    def take(self, now_ns: int) -> None:
        """Take a token; one must be there."""
        self._full_ns = max(self._full_ns, now_ns) + self._period_ns


class Limiter:
    """Counts requests by ``kind`` of key, such as the functions, against limits of each key."""

    def __init__(self, kind: str, limits: RequestLimits) -> None:
        self._kind, self._limits = kind, limits
        self._in_flight: Counter[str] = Counter()
        self._buckets: dict[str, TokenBucket] = {}

    def in_flight(self, key: str) -> int:
        """Return the number of requests of ``key`` that have begun and not ended."""
        return self._in_flight[key]

    def excess(self, key: str, now_ns: int, waiting: int = 0) -> Excess | None:
        """Return which limit another request of ``key`` would exceed; None: it may begin.
        ``waiting``: the requests of ``key`` that wait already."""
        limits = self._limits
        if limits.in_flight is not None and self._in_flight[key] >= limits.in_flight:
            return self._too_many(f"{limits.in_flight} requests in flight", RETRY_AFTER_NS)
        if limits.waiting is not None and waiting >= limits.waiting:
            return self._too_many(f"{limits.waiting} waiting requests", RETRY_AFTER_NS)
        wait_ns = self._bucket(key).wait_ns(now_ns) if limits.rate_per_s is not None else 0
        if wait_ns:
            return self._too_many(f"{limits.rate_per_s:g} requests a second", wait_ns)
        return None

    def begin(self, key: str, now_ns: int) -> None:
        """Count a request that may begin."""
        self._in_flight[key] += 1
        if self._limits.rate_per_s is not None:
            self._bucket(key).take(now_ns)

    def end(self, key: str) -> None:
        """Count the end of a request that began."""
        self._in_flight[key] -= 1
        if not self._in_flight[key]:
            del self._in_flight[key]

    def _bucket(self, key: str) -> TokenBucket:
        assert self._limits.rate_per_s is not None
        found = self._buckets.get(key)
        if found is None:
            found = TokenBucket(self._limits.rate_per_s, self._limits.burst)
            self._buckets[key] = found
        return found

    def _too_many(self, limit: str, wait_ns: int) -> Excess:
        return Excess(f"this {self._kind} has reached its limit of {limit}", wait_ns)
