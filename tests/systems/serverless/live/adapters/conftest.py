"""Parsers, real and flawed, forked from one template that all tests here share."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from systems.engine.adapter_files import stamps_of
from systems.interface import Deployment
from systems.runtime.children import kill
from systems.runtime.processes import Processes
from systems.runtime.roles import Role
from systems.serverless.live.adapters import memory_file
from systems.serverless.live.adapters.messages import ParseAdapter
from systems.serverless.live.adapters.parsing import Start
from systems.serverless.live.adapters.requests import parse_request
from systems.serverless.live.adapters.tier import AdapterTier
from systems.serverless.live.messages import SlotShape
from systems.serverless.live.plan import Plan, make_plan
from systems.serverless.live.roles import PARSER

from . import flawed

PATIENCE_S = 120.0
SHAPE = SlotShape(16, ("k_proj", "o_proj", "q_proj", "v_proj"))
"""Larger than the adapters, so that packing has to pad."""


@dataclass(frozen=True)
class Forks:
    """A template and the loop that its processes are bound to."""

    processes: Processes
    runner: asyncio.Runner

    def of(self, *roles: Role) -> Start:
        """Start ``roles`` one after the other, then real parsers."""
        left = list(roles)
        return lambda says, ended: self.processes.begin(
            left.pop(0) if left else PARSER, says, ended
        )

    def play(self, scene: Coroutine[Any, Any, None]) -> None:
        self.runner.run(asyncio.wait_for(scene, PATIENCE_S))


@pytest.fixture(scope="package")
def forks() -> Iterator[Forks]:
    """On a node with GPUs, where instances are confined less; parsers are not."""
    with asyncio.Runner() as runner:
        processes = Processes("cuda", flawed.TEMPLATE)
        runner.run(asyncio.wait_for(_up(processes), PATIENCE_S))
        yield Forks(processes, runner)
        runner.run(_down(processes))


async def _up(processes: Processes) -> None:
    ready = asyncio.get_running_loop().create_future()
    processes.start_template(lambda: ready.set_result(None), print)
    await ready


async def _down(processes: Processes) -> None:
    assert processes.template is not None
    kill(processes.template)
    while processes.template is not None:
        await asyncio.sleep(0.005)


@pytest.fixture(scope="package")
def plan(deployment: Deployment) -> Plan:
    return make_plan(deployment, forks=True)


@pytest.fixture
def folders(plan: Plan, tmp_path: Path) -> dict[str, Path]:
    """Copies of the adapters, which a test may damage."""
    return {
        name: shutil.copytree(files.path, tmp_path / name) for name, files in plan.adapters.items()
    }


@pytest.fixture
def request_of(plan: Plan, folders: dict[str, Path]) -> Callable[[str], ParseAdapter]:
    """What a parser is told of an adapter whose files are as they were deployed."""

    def request(function: str) -> ParseAdapter:
        asked = parse_request(plan, function, SHAPE)
        folder = folders[function]
        return msgspec.structs.replace(asked, folder=str(folder), stamps=stamps_of(folder))

    return request


async def use(tier: AdapterTier, function: str) -> bytes | str:
    """Return the content that an instance would copy, or the line that says why there is none."""
    result: asyncio.Future[bytes | str] = asyncio.get_running_loop().create_future()

    def ready(fd: int, nbytes: int) -> None:
        with memory_file.map_sealed(fd, nbytes) as mapping:
            result.set_result(bytes(mapping))

    tier.get(function, ready, result.set_result)
    return await result


async def uses(tier: AdapterTier, *functions: str) -> list[bytes | str]:
    """Use several adapters at the same time."""
    return list(await asyncio.gather(*map(partial(use, tier), functions)))
