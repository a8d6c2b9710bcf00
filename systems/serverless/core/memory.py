"""Accounts for the memory of a device; reservations never exceed it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat
from typing import NamedTuple, Self

from systems.interface import MemoryOwner

from .artifacts import CopyKey


class Holding(NamedTuple):
    """What bytes are held for, and by which holder: an instance (its id) or a backbone copy."""

    owner: MemoryOwner
    holder: int | CopyKey
    group: str | None
    """The group that it is held for, which at ``function`` level is a function; None: several."""


class Holdings(NamedTuple):
    """What an instance holds on its device."""

    context: Holding
    adapters: Holding
    kv: Holding

    @classmethod
    def of(cls, instance: int, group: str) -> Self:
        return cls(
            Holding(MemoryOwner.CONTEXT, instance, group),
            Holding(MemoryOwner.ADAPTERS, instance, group),
            Holding(MemoryOwner.KV, instance, group),
        )


class Sizes(NamedTuple):
    """The bytes of the holdings of an instance, in their order."""

    context: int
    adapters: int
    kv: int


Watcher = Callable[[Holding, int], None]
"""Called with a holding and by how many bytes it changed."""


class MemoryLedger:
    """Reservations in bytes on one device."""

    def __init__(self, capacity: int, watch: Watcher) -> None:
        self.capacity = capacity
        self.used = 0
        self._held: dict[Holding, int] = {}
        self._watch = watch

    @property
    def free(self) -> int:
        return self.capacity - self.used

    def held(self, holding: Holding) -> int:
        return self._held.get(holding, 0)

    def held_by(self, holdings: Iterable[Holding]) -> int:
        """Return the bytes of ``holdings`` together."""
        return sum(map(self._held.get, holdings, repeat(0)))

    def resize(self, holding: Holding, size: int) -> None:
        """Set the size of ``holding`` in bytes; 0 releases it. Raise ``MemoryError`` if the
        device's capacity would be exceeded."""
        change = size - self._held.get(holding, 0)
        if not change:
            return
        if change > self.capacity - self.used:
            raise MemoryError(f"{holding}: {change} bytes requested, {self.free} free")
        self.used += change
        if size:
            self._held[holding] = size
        else:
            del self._held[holding]
        self._watch(holding, change)
