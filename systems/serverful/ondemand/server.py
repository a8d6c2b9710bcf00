"""A vLLM with sleep mode: its process, and the HTTP requests that put it to sleep and wake it."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import aiohttp
import psutil

from systems.errors import DeploymentError
from systems.serverful.http import served_models
from systems.serverful.process import ServerProcess
from systems.serverful.warm_up import warm_up

from .config import Config, OnDemandServer


class SleepingServer:
    """Every transition raises ``DeploymentError`` with one line if it fails; the state of the
    server is then unknown, and it must be ended."""

    def __init__(
        self, plan: OnDemandServer, config: Config, session: aiohttp.ClientSession
    ) -> None:
        self.plan = plan
        self._config = config
        self._session = session
        self._starts = 0
        self._walking = asyncio.Lock()
        self.process: ServerProcess | None = None

    async def start(self) -> None:
        """Start the process; return once it serves its models."""
        plan = self.plan
        log = Path(self._config.folder) / f"{plan.name}-{self._starts}.log"
        self._starts += 1
        # Created by the event loop's thread: the child is signalled when its creator's thread ends.
        self.process = ServerProcess(plan.name, plan.command, plan.environment, log)
        wait = partial(self.process.wait_until, self._ready, self._config.start_timeout_s)
        await asyncio.to_thread(wait)

    async def warm(self) -> None:
        """Have each model answer its first prompts."""
        assert self.process is not None, "what has started is warmed up"
        plan, limit_s = self.plan, self._config.start_timeout_s
        asked = partial(warm_up, plan.base_url, plan.models, self._config.warm_up_tokens, limit_s)
        await asyncio.to_thread(self.process.wait_until, asked, limit_s)

    def _ready(self) -> bool:
        return set(self.plan.models) <= (served_models(self.plan.base_url) or set())

    async def sleep(self) -> None:
        """Move the weights to host memory and drop the KV cache; return once that is done."""
        await self._ask("POST", "/sleep?level=1")
        said = await self._ask("GET", "/is_sleeping")
        if said.replace(" ", "") != '{"is_sleeping":true}':
            raise DeploymentError(f"{self.plan.name}: asked to sleep, it says {said[:200]}")

    async def wake(self) -> None:
        await self._ask("POST", "/wake_up")

    async def end(self) -> None:
        """End all processes of the server, if it has any."""
        async with self._walking:
            if self.process is not None:
                await asyncio.to_thread(self.process.stop)

    async def family(self) -> list[psutil.Process]:
        """Return the running processes of the server."""
        async with self._walking:
            return await asyncio.to_thread(self.process.family) if self.process else []

    def ended(self) -> str | None:
        """Describe how the process ended; None while it runs."""
        return self.process.ended() if self.process is not None else None

    async def _ask(self, method: str, path: str) -> str:
        timeout = aiohttp.ClientTimeout(self._config.sleep_timeout_s)
        url, what = self.plan.base_url + path, f"{self.plan.name}: {path.partition('?')[0]}"
        try:
            async with self._session.request(method, url, timeout=timeout) as response:
                text = await response.text()
        except TimeoutError:
            limit_s = self._config.sleep_timeout_s
            raise DeploymentError(f"{what}: no answer in {limit_s:g} s (sleep_timeout_s)") from None
        except aiohttp.ClientError as error:
            raise DeploymentError(f"{what}: {error or type(error).__name__}") from error
        if response.status != 200:
            raise DeploymentError(f"{what}: HTTP {response.status}: {text[:200]}")
        return text
