"""What a replica runs next, decided anew before every iteration (Orca's iteration-level
scheduling, Yu et al., OSDI 2022). Pure: it sees the queue and no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Queued:
    """A request that is not finished. ``started``: it has had its prefill, and holds a slot."""

    id: int
    adapter: str | None
    started: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """Requests to run now; with ``merged`` in the weights, whose they then all are."""

    ids: tuple[int, ...]
    merged: str | None = None


class Batcher(Protocol):
    """``queued`` in the order of arrival, none twice, at least one; ``room``: slots for requests
    that have not started."""

    def choose(self, queued: Sequence[Queued], room: int) -> Choice: ...


class FirstCome:
    """All that run, and the first of those that wait, whatever their adapters."""

    def __init__(self, batch: int) -> None:
        self._batch = batch

    def choose(self, queued: Sequence[Queued], room: int) -> Choice:
        return Choice(tuple(each.id for each in admissible(queued, room)[: self._batch]))


def admissible(queued: Sequence[Queued], room: int) -> list[Queued]:
    """Those with a slot, and as many without as there is ``room``."""
    found = []
    for each in queued:
        if each.started or room > 0:
            found.append(each)
            room -= not each.started
    return found
