"""The HTTP surface of the proxy: one address for the functions of all its servers."""

from __future__ import annotations

import asyncio
import itertools
import time

import aiohttp
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from systems.runtime.http import body as bodies
from systems.runtime.http import schema
from systems.runtime.http.errors import errors_as_openai
from systems.runtime.http.observing import add_metrics
from systems.runtime.http.refusal import RefusalError
from systems.runtime.metrics import Metrics

from .calls import ProxiedCall
from .config import Config
from .forwarding import UnansweredError, answer, respond
from .keeper import Keeper, UnavailableError

_MOST_BYTES = 8 << 20
"""Of a request's body."""


class Addressed(BaseModel):
    """The only field of a request that the proxy reads; its server checks the others."""

    model_config = ConfigDict(extra="ignore")

    model: str = Field(max_length=256)


class Proxy:
    def __init__(
        self,
        config: Config,
        keeper: Keeper,
        session: aiohttp.ClientSession,
        metrics: Metrics,
    ) -> None:
        self._metrics = metrics
        self._config, self._keeper, self._session = config, keeper, session
        self._servers = {model: each for each in config.servers for model in each.models}
        self._ids = itertools.count()

    def application(self) -> web.Application:
        app = web.Application(client_max_size=_MOST_BYTES, middlewares=[errors_as_openai])
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/completions", self._complete)
        app.router.add_post("/v1/chat/completions", self._complete)
        add_metrics(app, self._metrics)
        return app

    async def _health(self, request: web.Request) -> web.Response:  # noqa: ARG002
        return web.json_response({"status": "ok"})

    async def _models(self, request: web.Request) -> web.Response:  # noqa: ARG002
        models = [{"id": model, "object": "model", "owned_by": "local"} for model in self._servers]
        return web.json_response({"object": "list", "data": models})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        received_ns = time.monotonic_ns()
        raw = await bodies.read(request)
        model = bodies.parse(Addressed, raw).model
        server = self._servers.get(model)
        if server is None:
            known = ", ".join(self._servers)
            message = f"model {model!r} is not deployed; deployed: {known}"
            raise RefusalError(404, message, "model_not_found", "model")
        client_id = request.headers.get("X-Request-Id", "")
        call = ProxiedCall(next(self._ids), client_id, model, server.name, received_ns)
        self._metrics.received(model)
        limit_s = self._config.request_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                await self._keeper.enter(call)
                async with answer(self._session, server.base_url, request, raw) as upstream:
                    return await respond(request, upstream, call, lambda ns: self._leave(call, ns))
        except TimeoutError:
            return self._failed(call, 504, f"no answer within request_timeout_s={limit_s:g}")
        except UnavailableError as error:
            return self._failed(call, 503, str(error))
        except UnansweredError as error:
            return self._failed(call, 502, f"{server.name}: {error}")
        finally:
            self._leave(call, None)

    def _leave(self, call: ProxiedCall, responded_ns: int | None) -> None:
        self._keeper.leave(call, responded_ns)

    def _failed(self, call: ProxiedCall, status: int, reason: str) -> web.Response:
        self._leave(call, time.monotonic_ns())
        body = schema.error(reason, kind="server_error", code=str(status))
        return web.json_response(body, status=status)
