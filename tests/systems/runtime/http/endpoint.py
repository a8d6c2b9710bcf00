"""The HTTP endpoint on a fake backend with fixed responses; it starts no process."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from aiohttp import ClientSession, web

from systems.access import AccessTokens
from systems.interface import Deployment
from systems.request_limits import UNLIMITED, RequestLimits
from systems.runtime.calls import Call, Failure, Tokens
from systems.runtime.http.api import Api
from systems.runtime.http.text import Text
from systems.runtime.http.timeouts import PatientRunner
from systems.runtime.metrics import Metrics

ANSWER: tuple[Tokens | Failure, ...] = (Tokens((70,), None), Tokens((71,), "length"))


@dataclass
class Backend:
    """Returns the same response to every request, at once."""

    plan: Any
    answers: tuple[Tokens | Failure, ...]
    calls: list[Call] = field(default_factory=list)
    _ids: Any = field(default_factory=itertools.count)

    def submit(self, **fields: Any) -> Call:
        call = Call(next(self._ids), **fields)
        for answer in self.answers:
            call.answers.put(answer)
        self.calls.append(call)
        return call

    def abandon(self, call: Call) -> None:
        pass

    def answered(self, call: Call, responded_ns: int | None) -> None:
        pass


@dataclass(frozen=True)
class Endpoint:
    session: ClientSession
    address: tuple[str, int]
    backend: Backend
    runner: PatientRunner

    def connections(self) -> int:
        """The server's open connections."""
        server = self.runner.server
        assert server is not None
        return len(server.connections)

    async def ask(
        self, path: str = "completions", token: str | None = None, **fields: Any
    ) -> tuple[int, Any]:
        """Send one request; return status and content of the response, which is not streamed."""
        wanted: dict[str, Any] = {"prompt": [5, 6, 7]} if path == "completions" else {}
        async with self.session.post(
            f"/v1/{path}",
            json={"model": "f0", **wanted, **fields},
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
        ) as response:
            return response.status, await response.json()

    async def health(self) -> int:
        async with self.session.get("/health") as response:
            return response.status


@asynccontextmanager
async def endpoint(
    deployment: Deployment,
    answers: tuple[Tokens | Failure, ...] = ANSWER,
    texts: Mapping[str, Any] | None = None,
    tokens: AccessTokens | None = None,
    metrics: Metrics | None = None,
    limits: RequestLimits = UNLIMITED,
) -> AsyncIterator[Endpoint]:
    """``texts`` by backbone; None: those of the deployment. ``tokens``: None: callers need none.
    ``limits``: of each caller."""
    functions = {function.id: function for function in deployment.functions}
    backend = Backend(SimpleNamespace(deployment=deployment, functions=functions), answers)
    found = texts if texts is not None else _texts(deployment.backbones)
    runner = PatientRunner(
        Api(backend, found, tokens, metrics, limits).application(),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=0.1,
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        async with ClientSession(f"http://{host}:{port}") as session:
            yield Endpoint(session, (host, port), backend, runner)
    finally:
        await runner.cleanup()


def _texts(backbones: Mapping[str, Path]) -> dict[str, Text]:
    return {name: Text(path) for name, path in backbones.items()}
