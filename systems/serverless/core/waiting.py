"""The waiting requests of a group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile


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
    deadline_ns: int = field(init=False)
    """Kept, since waiting requests are sorted by it over and over."""

    def __post_init__(self) -> None:
        self.deadline_ns = self.arrived_ns + self.slo_ns


class WaitingRequests:
    """The waiting requests of a group, in order of arrival, also by function."""

    __slots__ = ("_all", "_since", "_turn", "of_function")

    def __init__(self) -> None:
        self._all: dict[int, Request] = {}
        self._since: dict[str, int] = {}
        self._turn = 0
        self.of_function: dict[str, dict[int, Request]] = {}
        """Of each function with waiting requests, those of the longest wait first."""

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Request]:
        return iter(self._all.values())

    @property
    def oldest(self) -> Request:
        return next(iter(self._all.values()))

    def of(self, function: str) -> int:
        """Return the number of waiting requests of ``function``."""
        return len(self.of_function.get(function, ()))

    def since(self, function: str) -> int:
        """Return the turn in which ``function``, of which requests wait, began to wait."""
        return self._since[function]

    @property
    def turn(self) -> int:
        """The turn in which a function began to wait last."""
        return self._turn

    def began_after(self, turn: int) -> list[str]:
        """Return the waiting functions that began to wait after ``turn``, in that order."""
        later = takewhile(lambda each: self._since[each] > turn, reversed(self.of_function))
        return list(later)[::-1]

    def add(self, request: Request) -> None:
        self._all[request.id] = request
        mine = self.of_function.get(request.function)
        if mine is None:
            mine = self.of_function[request.function] = {}
            self._turn += 1
            self._since[request.function] = self._turn
        mine[request.id] = request

    def remove(self, request: Request) -> None:
        del self._all[request.id]
        mine = self.of_function[request.function]
        del mine[request.id]
        if not mine:
            del self.of_function[request.function], self._since[request.function]
