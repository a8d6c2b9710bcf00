"""What answers a request, on its way from the platform to the one task that sends it on."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Answers(Generic[T]):
    """A queue with one reader, who takes all that has come: ``asyncio.Queue`` takes several times
    as long for each item, and a gateway passes on ten thousand tokens a second."""

    def __init__(self) -> None:
        self._items: list[T] = []
        self._reader: asyncio.Future[None] | None = None

    def put(self, item: T) -> None:
        self._items.append(item)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def drain(self) -> list[T]:
        """Return all items that have come, in order."""
        items, self._items = self._items, []
        return items

    async def take(self) -> list[T]:
        """Return all items that have come, in order; wait for one if there is none."""
        if not self._items:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
            self._reader = None
        return self.drain()
