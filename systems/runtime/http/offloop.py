"""Work on long inputs, on threads beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from .refusal import RefusalError

THREADS = 2
MOST_UNDER_WAY = 64
"""Running ones and those that wait for a thread."""
SHORT = 2048
"""Characters that are worked on at once: 0.5 ms, where the way to a thread and back takes 0.1 ms
(tests/benchmarks/test_endpoint.py)."""
_RETRY_AFTER_S = 1

T = TypeVar("T")


class OffLoop:
    """A few threads, and a bound on how many inputs are worked on or wait."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="text")
        self._under_way = 0

    async def run(self, characters: int, work: Callable[[], T]) -> T:
        """What ``work`` gives, which takes time by ``characters``. ``RefusalError`` (429) where
        too many are under way."""
        if characters <= SHORT:
            return work()
        if self._under_way >= MOST_UNDER_WAY:
            message = f"{self._under_way} long prompts are being read already; try again"
            raise RefusalError(429, message, "too_many_long_prompts", retry_after_s=_RETRY_AFTER_S)
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._under_way -= 1
