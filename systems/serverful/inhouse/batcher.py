"""Decides what a replica runs next, before every iteration (Orca's iteration-level scheduling,
Yu et al., OSDI 2022). Pure: a decision depends on the queue and on no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Queued:
    """An unfinished request. ``started``: it holds a slot, so its prefill has run, here or, if it
    has migrated, on another replica."""

    id: int
    adapter: str | None
    started: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """Requests to run now. ``merged``: the adapter to merge into the weights, which all of them
    then use; None: run unmerged."""

    ids: tuple[int, ...]
    merged: str | None = None


class Batcher(Protocol):
    """``queued``: at least one request, in order of arrival, each once; ``room``: free slots for
    requests that have not started."""

    @property
    def repeats(self) -> bool:
        """Whether the last choice would be made again, as long as ``queued`` and ``room`` are the
        same."""

    def repeated(self, times: int) -> None:
        """Take note that a choice that repeats was made so many more times, without a call."""

    def choose(self, queued: Sequence[Queued], room: int) -> Choice: ...


class FirstCome:
    """Choose requests in order of arrival, whatever their adapters."""

    repeats = True

    def __init__(self, batch: int) -> None:
        self._batch = batch

    def repeated(self, times: int) -> None:
        """Do nothing: no choice depends on those before."""

    def choose(self, queued: Sequence[Queued], room: int) -> Choice:
        return Choice(tuple(each.id for each in admissible(queued, room)[: self._batch]))


def admissible(queued: Sequence[Queued], room: int) -> list[Queued]:
    """Return the requests that hold a slot, and the first ``room`` of those that hold none."""
    found = []
    for each in queued:
        if each.started or room > 0:
            found.append(each)
            room -= not each.started
    return found
