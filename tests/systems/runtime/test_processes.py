"""The processes of a node, and what ends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from systems.runtime.children import Child, kill
from systems.runtime.messages import Message, Started
from systems.runtime.processes import Processes

from .refused_forks import ECHO, REFUSED, TEMPLATE

PATIENCE_S = 60.0


@dataclass(eq=False)
class Watched:
    """A fork of the template, whether it has started, and its end once it has ended."""

    started: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    returncodes: list[int | None] = field(default_factory=list)

    def fork(self, processes: Processes) -> Child:
        return processes.fork(ECHO, self._hear, self._end)

    def _hear(self, message: Message, fds: list[int]) -> None:
        del fds
        if isinstance(message, Started):
            self.started.set()

    def _end(self, returncode: int | None) -> None:
        self.returncodes.append(returncode)
        self.ended.set()


@asynccontextmanager
async def template(processes: Processes) -> AsyncIterator[list[str]]:
    """Runs a template; yields the reasons of its deaths."""
    ready, died = asyncio.Event(), asyncio.Event()
    reasons: list[str] = []

    def dies(reason: str) -> None:
        reasons.append(reason)
        died.set()

    processes.start_template(ready.set, dies)
    try:
        await ready.wait()
        yield reasons
    finally:
        if processes.template is not None:
            kill(processes.template)
            await died.wait()


@pytest.mark.live
def test_a_fork_that_the_kernel_refuses_ends_alone() -> None:
    """It ended the template, and with it every instance of the node."""

    async def scene() -> None:
        processes = Processes("cpu", TEMPLATE)
        async with template(processes) as deaths:
            made = [Watched() for _ in range(3)]
            children = [each.fork(processes) for each in made]
            first, refused, third = made
            await asyncio.gather(first.started.wait(), refused.ended.wait(), third.started.wait())
            assert refused.returncodes == [None]
            assert children[REFUSED - 1].verdict == "cannot fork: Resource temporarily unavailable"
            assert not first.ended.is_set()
            assert len(processes.forked) == 2
            assert deaths == []

    asyncio.run(asyncio.wait_for(scene(), PATIENCE_S))
