"""The places of a cross-adapter engine: which adapter is in which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .requests import GenerationRequest


class Places:
    """Places 1 … ``count``; number 0 stands for the backbone alone."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._taken: dict[str, int] = {}
        self._free = list(range(count, 0, -1))

    def take(self, name: str) -> int:
        """Return the number of a free place, which is now ``name``'s. Raise ``ValueError`` if it
        has one, or if none is free."""
        if name in self._taken:
            raise ValueError(f"{name}: has place {self._taken[name]} already")
        if not self._free:
            raise ValueError(f"{name}: all {self._count} places are taken")
        self._taken[name] = self._free.pop()
        return self._taken[name]

    def leave(self, name: str) -> int:
        """Free the place of ``name`` and return its number. Raise ``ValueError`` if it has none."""
        number = self.number(name)
        del self._taken[name]
        self._free.append(number)
        return number

    def number(self, name: str | None) -> int:
        """Return the place of ``name``. Raise ``ValueError`` if it has none."""
        if name is None:
            return 0
        if name not in self._taken:
            raise ValueError(f"{name}: no place holds its adapter")
        return self._taken[name]


class ByName:
    """For engines whose requests name an adapter that must be in a place."""

    _places: Places
    _sequences: list[Any]

    def _check(self, requests: Sequence[GenerationRequest]) -> None:
        super()._check(requests)  # type: ignore[misc]
        for request in requests:
            self._places.number(request.adapter)

    def _leave(self, name: str) -> int:
        """Free the place of ``name``. Raise ``ValueError`` if a request that uses it is running."""
        if any(sequence.request.adapter == name for sequence in self._sequences):
            raise ValueError(f"{name}: a request that uses its adapter is running")
        return self._places.leave(name)
