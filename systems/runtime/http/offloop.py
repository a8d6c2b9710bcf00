"""Processes long inputs on threads, outside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from .refusal import RefusalError

THREADS = 2
MOST_UNDER_WAY = 64
"""Inputs being processed or waiting for a thread."""
SHORT = 2048
"""Inputs of up to this many characters are processed in the event loop: that takes 0.5 ms, and a
thread switch there and back 0.1 ms (tests/benchmarks/test_endpoint.py)."""
_RETRY_AFTER_S = 1

T = TypeVar("T")


class OffLoop:
    """A few threads, with a bound on the inputs that are processed or waiting."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="text")
        self._under_way = 0

    async def run(self, characters: int, work: Callable[[], T]) -> T:
        """Return the result of ``work``, whose duration grows with ``characters``. ``RefusalError``
        (429) if too many inputs are being processed."""
        if characters <= SHORT:
            return work()
        if self._under_way >= MOST_UNDER_WAY:
            message = f"{self._under_way} long prompts are already being processed; try again"
            raise RefusalError(429, message, "too_many_long_prompts", retry_after_s=_RETRY_AFTER_S)
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._under_way -= 1
