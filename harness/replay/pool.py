"""Sends requests over connections that are kept alive; opens as many as the load needs."""

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
    """``finished`` gets every exchange exactly once, however it ends."""

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
        # What comes over TLS is no one's to read but the transport's.
        self._arrivals = Arrivals(loop) if self._tls is None and kernel_stamps() else None
        self._idle: dict[Connection, None] = {}
        self._under_way: dict[Exchange, None] = {}
        self._opening: set[asyncio.Task[None]] = set()

    def send(self, row: int, request: bytes) -> None:
        """On the connection that was used last, the least likely to be closed by the server just
        now; on a new one where none is free. ``sent_ns`` is taken here, connecting comes after."""
        exchange = Exchange(row, time.monotonic_ns())
        if self._idle:
            self._idle.popitem()[0].carry(exchange, request)
        else:
            task = self._loop.create_task(self._open(exchange, request))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        self._under_way[exchange] = None
        exchange.timer = self._loop.call_later(self._timeout_s, self._time_out, exchange)

    def abandon(self, error: str) -> None:
        """End everything under way."""
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
        if exchange.finished:  # it timed out meanwhile
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
        self._break(exchange, Ending.TIMEOUT, f"no end within {self._timeout_s:g} s")

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
