"""Real systems on the tiny backbone: tests here start processes, and all end with the test."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from systems.interface import Deployment, Endpoint, ServingSystem
from systems.registry import system_class

SERVERLESS = ("serverless-lora", "serverless-llm")


def _sees_hidden_memory() -> bool:
    """Whether this process may read the memory of processes that hide it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(line.split()[1], 16) >> 19 & 1)  # CAP_SYS_PTRACE


looks_inside = pytest.mark.skipif(
    not _sees_hidden_memory(), reason="instances hide their memory from all but CAP_SYS_PTRACE"
)


@dataclass
class Running:
    """A deployed system, and methods to send requests to it."""

    system: ServingSystem
    endpoint: Endpoint

    @property
    def url(self) -> str:
        return self.endpoint.base_url

    async def ask(self, session: aiohttp.ClientSession, model: str, **fields: Any) -> Any:
        """Request one completion, not streamed; return the decoded response and its ``status``."""
        body = {"model": model, "prompt": [5, 6, 7], "max_tokens": 4, "temperature": 0, **fields}
        async with session.post(f"{self.url}/v1/completions", json=body) as response:
            return {**await response.json(), "status": response.status}

    async def begin(
        self, session: aiohttp.ClientSession, model: str, **fields: Any
    ) -> asyncio.Task[Any]:
        """Start a streamed completion and wait for its first chunk, so that it runs; the returned
        task results in the error of its end, or None."""
        body = {"model": model, "prompt": [5, 6, 7], "temperature": 0, "stream": True, **fields}
        response = await session.post(f"{self.url}/v1/completions", json=body)
        assert response.status == 200
        await response.content.readuntil(b"\n\n")
        return asyncio.create_task(_error_of(response))

    def processes(self, word: str = "") -> list[psutil.Process]:
        """The gateway's descendants whose command line contains ``word``."""
        children = psutil.Process(self.endpoint.pids[0]).children(recursive=True)
        return [child for child in children if word in command_of(child)]

    def instances(self) -> list[psutil.Process]:
        """Instance processes: forks of the template, or processes spawned as instances."""
        forks = [p for p in self.processes("zygote") if p.ppid() != self.endpoint.pids[0]]
        return forks + self.processes("roles instance")


async def _error_of(response: aiohttp.ClientResponse) -> Any:
    async with response:
        lines = (await response.read()).decode().split("\n\n")
    said = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    return next((each["error"] for each in said if "error" in each), None)


def command_of(process: psutil.Process) -> str:
    """The command line; empty if the process has ended, which can happen at any time."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, FileNotFoundError):
        return ""


def _stop(running: Running) -> None:
    alive = psutil.pid_exists(running.endpoint.pids[0])
    family = running.processes() if alive else []
    running.system.stop()
    assert not psutil.wait_procs(family, timeout=30)[1], "a process outlived its system"


@contextmanager
def deployed(name: str, deployment: Deployment) -> Iterator[Running]:
    """Have a system deployed."""
    system = system_class(name)()
    running = Running(system, system.deploy(deployment))
    yield running
    _stop(running)


@pytest.fixture
def deploy(deployment: Deployment) -> Iterator[Callable[..., Running]]:
    """Start a system for a single test."""
    with ExitStack() as running:

        def start(name: str = "serverless-lora", **changes: Any) -> Running:
            return running.enter_context(deployed(name, deployment.model_copy(update=changes)))

        yield start


@pytest.fixture(scope="module")
def up(deployment: Deployment) -> Iterator[Callable[[str], Running]]:
    """A system that the tests of a module share, since none of them damages it."""
    with ExitStack() as running:

        @cache
        def get(name: str) -> Running:
            return running.enter_context(deployed(name, deployment))

        yield lambda name="serverless-lora": get(name)


def wait_until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def events(raw: bytes) -> list[Any]:
    """The decoded data of a stream of server-sent events, without ``[DONE]``."""
    lines = [line[6:] for line in raw.decode().split("\n\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]
