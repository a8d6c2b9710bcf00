"""The waiting requests of a group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Request:
    """A request that is waiting (``instance`` is None) or running."""

    id: int
    function: str
    group: str
    kv_bytes: int
    arrived_ns: int
    slo_ns: int
    """The TTFT limit of its function."""
    instance: int | None = None
    batch: int | None = None
    """The batch that it is or was prefilled in."""
    begun_ns: int = 0
    """When that batch was run."""
    cancelled: bool = False
    """Its instance was told to release it."""

    @property
    def deadline_ns(self) -> int:
        return self.arrived_ns + self.slo_ns


class WaitingRequests:
    """The waiting requests of a group, in order of arrival, also by function."""

    __slots__ = ("_all", "of_function")

    def __init__(self) -> None:
        self._all: dict[int, Request] = {}
        self.of_function: dict[str, dict[int, Request]] = {}
        """Of each function with waiting requests, those of the longest wait first."""

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Request]:
        return iter(self._all.values())

    @property
    def oldest(self) -> Request:
        return next(iter(self._all.values()))

    def add(self, request: Request) -> None:
        self._all[request.id] = request
        self.of_function.setdefault(request.function, {})[request.id] = request

    def remove(self, request: Request) -> None:
        del self._all[request.id]
        mine = self.of_function[request.function]
        del mine[request.id]
        if not mine:
            del self.of_function[request.function]

    def clear(self) -> None:
        self._all.clear()
        self.of_function.clear()
