"""The timeouts of waiting requests in virtual time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from .clock import Clock


class Waiting(Protocol):
    """A request that may time out."""

    @property
    def received_ns(self) -> int: ...

    @property
    def waits(self) -> bool:
        """Whether it may still time out."""


W = TypeVar("W", bound=Waiting)


class Timeouts(Generic[W]):
    """Calls ``expired`` with each request that still waits ``timeout_ns`` after its arrival. Sets
    one event for all of them: one for each would make every event of the clock wait behind
    thousands that come to nothing."""

    def __init__(self, clock: Clock, timeout_ns: int, expired: Callable[[W], None]) -> None:
        self._clock, self._timeout_ns, self._expired = clock, timeout_ns, expired
        self._waiting: deque[W] = deque()
        """In order of arrival."""

    def watch(self, call: W) -> None:
        """Watch a request that arrived now."""
        self._waiting.append(call)
        if len(self._waiting) == 1:
            self._await()

    def _await(self) -> None:
        waiting = self._waiting
        while waiting and not waiting[0].waits:
            waiting.popleft()
        if waiting:
            self._clock.at(waiting[0].received_ns + self._timeout_ns, self._due)

    def _due(self) -> None:
        call = self._waiting.popleft()
        if call.waits:
            self._expired(call)
        self._await()
