"""How long the endpoint waits for its clients: to say what they want, and to take what they asked
for. One that never does would hold a descriptor for good."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from aiohttp import web

HEADERS_S = 15.0
"""From a connection to the end of its first request's headers."""
BODY_S = 30.0
IDLE_S = 600.0
"""Between two requests of a connection, the headers of the second included."""
WRITE_S = 5.0
"""Past the time that a request has: for a client to take the rest of its answer."""


class PatientRunner(web.AppRunner):
    """Serves an application, and closes connections on which no request comes."""

    def __init__(self, app: web.Application, **settings: Any) -> None:
        super().__init__(app, keepalive_timeout=IDLE_S, **settings)
        self._silent: set[Any] = set()
        app.middlewares.append(self._note)

    @property
    def server(self) -> web.Server | None:
        """What a site makes a connection's protocol by."""
        server = super().server
        return None if server is None else cast(web.Server, self._watched(server))

    def _watched(self, server: web.Server) -> Callable[[], Any]:
        def connection() -> Any:
            protocol = server()
            self._silent.add(protocol)
            asyncio.get_running_loop().call_later(HEADERS_S, self._check, protocol)
            return protocol

        return connection

    def _check(self, protocol: Any) -> None:
        if protocol in self._silent:
            self._silent.discard(protocol)
            protocol.force_close()

    @web.middleware
    async def _note(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self._silent.discard(request.protocol)
        response: web.StreamResponse = await handler(request)
        return response
