"""Timeouts of the endpoint for its clients: to send requests and to read responses. Without them, a
client that does neither would occupy a descriptor forever."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from typing import Any

from aiohttp import web

HEADERS_S = 15.0
"""From the connection to the end of its first request's headers."""
BODY_S = 30.0
"""From the headers to the end of the body."""
IDLE_S = 75.0
"""Between two requests of a connection, including the headers of the second."""
WRITE_S = 5.0
"""Beyond the request's own timeout: for the client to read the rest of its response."""
MOST_WAITING = 1024


def most_waiting() -> int:
    """Return how many connections may be waiting at once: half of the descriptor limit at most."""
    return min(MOST_WAITING, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


class Waiting:
    """Connections that wait for their client, the longest wait first. Each is closed at its time
    limit; if there are more than ``most``, the first is closed too."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._timers: dict[Any, asyncio.TimerHandle] = {}

    def begin(self, connection: Any, limit_s: float) -> Callable[[], None]:
        """Start a new wait for the connection, ending its present one. The returned function ends
        this wait, unless another one has begun."""
        self.end(connection)
        loop = asyncio.get_running_loop()
        timer = self._timers[connection] = loop.call_later(limit_s, self._close, connection)
        if len(self._timers) > self._most:
            self._close(next(iter(self._timers)))
        return lambda: self.end(connection) if self._timers.get(connection) is timer else None

    def end(self, connection: Any) -> None:
        timer = self._timers.pop(connection, None)
        if timer is not None:
            timer.cancel()

    def _close(self, connection: Any) -> None:
        self.end(connection)
        abort(connection)


def abort(connection: Any) -> None:
    """Close the connection immediately, without waiting for the client to read pending data."""
    if connection.transport is not None:
        connection.transport.abort()


class PatientRunner(web.AppRunner):
    """Serves an application, and closes connections whose client sends nothing. It decompresses no
    body: that would be done as it arrives, in the event loop, whoever sends it and however much it
    becomes; a megabyte can become a gigabyte."""

    def __init__(self, app: web.Application, **settings: Any) -> None:
        super().__init__(app, auto_decompress=False, **settings)
        self._waiting = Waiting(most_waiting())
        app.middlewares.append(self._note)

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        made, lost = server.connection_made, server.connection_lost

        def begin(handler: web.RequestHandler, transport: asyncio.Transport) -> None:
            made(handler, transport)
            self._waiting.begin(handler, HEADERS_S)

        def end(handler: web.RequestHandler, exc: BaseException | None = None) -> None:
            self._waiting.end(handler)
            lost(handler, exc)

        server.connection_made, server.connection_lost = begin, end  # type: ignore[method-assign]
        return server

    @web.middleware
    async def _note(self, request: web.Request, handler: Any) -> web.StreamResponse:
        connection = request.protocol
        request.content.on_eof(self._waiting.begin(connection, BODY_S + WRITE_S))
        try:
            response: web.StreamResponse = await handler(request)
            return response
        finally:
            if connection.transport is not None:
                self._waiting.begin(connection, IDLE_S)
