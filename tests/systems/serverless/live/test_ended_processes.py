"""What the gateway keeps of a process that has ended: nothing, also before garbage is collected."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from functools import partial

import pytest
import uvloop

from systems.runtime import processes
from systems.runtime.channel import AsyncChannel
from systems.runtime.children import Child
from systems.runtime.output import Output
from systems.runtime.processes import Processes
from systems.serverless.live.live_instance import LiveInstance
from systems.serverless.live.roles import INSTANCE, TEMPLATE

KEPT = (AsyncChannel, Child, LiveInstance, Output)


@pytest.fixture
def uncollected(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without the collector of cycles, which a gateway with little load runs every quarter of an
    hour, and without the grace after which a process that closed its channel is killed."""
    monkeypatch.setattr(processes, "GRACE_S", 0.0)
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def one_that_ends() -> None:
    """Start a process that refuses its kind of device, as an instance, and wait for its end."""
    ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
    instance = LiveInstance(1, "f0", "cpu:0")
    heard = partial(_hear, instance), partial(_end, instance, ended)
    instance.child = Processes("no kind of device", TEMPLATE).spawn(INSTANCE, *heard)
    await asyncio.wait_for(ended, 120)


def _hear(instance: LiveInstance, message: object, fds: list[int]) -> None:
    del instance, message, fds


def _end(instance: LiveInstance, ended: asyncio.Future[int | None], returncode: int | None) -> None:
    del instance
    ended.set_result(returncode)


@pytest.mark.usefixtures("uncollected")
def test_a_process_that_ended_is_freed_without_the_collector() -> None:
    before = [each for each in gc.get_objects() if type(each) in KEPT]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(one_that_ends())
        runner.run(asyncio.sleep(0.01))
        left = [type(each).__name__ for each in gc.get_objects() if type(each) in KEPT]
    assert len(left) == len(before), left
