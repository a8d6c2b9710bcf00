"""Sends requests over keep-alive connections; opens as many connections as the load needs."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable

from .arrivals import Arrivals, kernel_stamps
from .capture import Connection, Exchange
from .frames import Captured, Ending
from .target import Target


class Pool:
    """A pool of connections. Calls ``finished`` exactly once per exchange, however it ends."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        target: Target,
        timeout_s: float,
        finished: Callable[[Captured], None],
    ) -> None:
        self._loop, self._target, self._timeout_s = loop, target, timeout_s
        self._finished = finished
        self._address = target.address()
        self._tls = ssl.create_default_context() if target.tls else None
        # Only the transport can read TLS.
        self._arrivals = Arrivals(loop) if self._tls is None and kernel_stamps() else None
        self._idle: dict[Connection, None] = {}
        self._under_way: dict[Exchange, None] = {}
        self._opening: set[asyncio.Task[None]] = set()

    def send(self, row: int, request: bytes, due_ns: int = 0) -> None:
        """Send on the most recently used idle connection, which the server is least likely to close
        now; open one if none is idle. ``sent_ns`` is taken here, before connecting."""
        exchange = Exchange(row, due_ns, time.monotonic_ns())
        if self._idle:
            self._idle.popitem()[0].carry(exchange, request)
        else:
            task = self._loop.create_task(self._open(exchange, request))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        self._under_way[exchange] = None
        exchange.timer = self._loop.call_later(self._timeout_s, self._time_out, exchange)

    def abandon(self, error: str) -> None:
        """End all exchanges in progress."""
        for exchange in list(self._under_way):
            self._break(exchange, Ending.CUT, error)

    def close(self) -> None:
        for connection in list(self._idle):
            connection.abort()

    async def _open(self, exchange: Exchange, request: bytes) -> None:
        try:
            transport, connection = await self._loop.create_connection(
                lambda: Connection(self._ended, self._lost),
                self._address,
                self._target.port,
                ssl=self._tls,
                server_hostname=self._target.host if self._tls else None,
            )
        except OSError as error:
            where = f"{self._target.host}:{self._target.port}"
            self._conclude(exchange, Ending.UNSENT, f"cannot connect to {where}: {error}")
            return
        if exchange.finished:  # it timed out while connecting
            connection.abort()
            return
        if self._arrivals is not None:
            self._arrivals.add(transport, connection)
        exchange.connect_ns = time.monotonic_ns() - exchange.sent_ns
        connection.carry(exchange, request)

    def _ended(
        self, connection: Connection, exchange: Exchange, ending: Ending, error: str
    ) -> None:
        self._conclude(exchange, ending, error)
        if connection.reusable and ending == Ending.COMPLETE:
            self._idle[connection] = None
        else:
            connection.abort()

    def _lost(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        if self._arrivals is not None:
            self._arrivals.drop(connection)

    def _time_out(self, exchange: Exchange) -> None:
        self._break(exchange, Ending.TIMEOUT, f"response not finished within {self._timeout_s:g} s")

    def _break(self, exchange: Exchange, ending: Ending, error: str) -> None:
        connection = exchange.connection
        self._conclude(exchange, ending, error)
        if connection is not None:
            connection.abort()

    def _conclude(self, exchange: Exchange, ending: Ending, error: str) -> None:
        if exchange.finished:
            return
        exchange.finished = True
        if exchange.timer is not None:
            exchange.timer.cancel()
        del self._under_way[exchange]
        self._finished(exchange.captured(ending, error))
        exchange.connection = None
