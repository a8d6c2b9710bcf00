"""Carries TCP connections over a link: one end accepts them, the other end opens them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from systems.runtime.links.link import Expected, Link

from .messages import PIECE, Data, Open, Shut

_LOOPBACK = "127.0.0.1"
_MOST = 64
"""Largest number of connections at once."""


class Tunnel:
    """One end of the tunnel. ``port`` returns the loopback port to which connections are opened
    that the other end accepted; None at the end that accepts them. ``carries``: handlers of
    messages for existing or ended connections; ``opens``: the handler that opens a connection."""

    def __init__(self, link: Link, port: Callable[[], int] | None = None) -> None:
        self._link, self._port = link, port
        self._carried: dict[int, _Carried] = {}
        self._waiting: dict[int, list[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0
        self._server: asyncio.Server | None = None
        self.carries: Expected = {Data: self._hear_data, Shut: self._hear_shut}
        self.opens: Expected = {Open: self._hear_open}

    async def listen(self) -> int:
        """Accept connections on a loopback port of this host. Return the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accepted, _LOOPBACK, 0)
        return int(self._server.sockets[0].getsockname()[1])

    def _accepted(self) -> _Carried:
        self._count += 1
        carried = self._carried[self._count] = _Carried(self._count, self._link, self._gone)
        self._link.send(Open(self._count))
        return carried

    def _hear_open(self, message: Open) -> None:
        if message.id != self._count + 1 or len(self._carried) + len(self._waiting) >= _MOST:
            raise ValueError(f"connection {message.id} cannot be opened")
        self._count = message.id
        self._waiting[message.id] = []
        task = asyncio.get_running_loop().create_task(self._connect(message.id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _hear_data(self, message: Data) -> None:
        """Write the data; drop it if the connection has ended at this end."""
        self._check(message.id)
        if message.id in self._waiting:
            self._waiting[message.id].append(message.data)
        elif carried := self._carried.get(message.id):
            carried.write(message.data)

    def _hear_shut(self, message: Shut) -> None:
        self._check(message.id)
        if carried := self._carried.pop(message.id, None):
            carried.end()

    def _check(self, number: int) -> None:
        if not 1 <= number <= self._count:
            raise ValueError(f"connection {number} was never opened")

    async def _connect(self, number: int) -> None:
        assert self._port is not None, "only the end that makes connections is asked for one"
        try:
            _, carried = await asyncio.get_running_loop().create_connection(
                lambda: _Carried(number, self._link, self._gone), _LOOPBACK, self._port()
            )
        except OSError:
            del self._waiting[number]
            self._link.send(Shut(number))
            return
        self._carried[number] = carried
        for data in self._waiting.pop(number):
            carried.write(data)

    def _gone(self, number: int) -> None:
        if self._carried.pop(number, None) is not None:
            self._link.send(Shut(number))

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for carried in list(self._carried.values()):
            carried.end()
        self._carried.clear()


class _Carried(asyncio.Protocol):
    """A TCP connection whose bytes are sent over the link."""

    def __init__(self, number: int, link: Link, gone: Callable[[int], None]) -> None:
        self._number, self._link, self._gone = number, link, gone
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE):
            self._link.send(Data(self._number, bytes(data[start : start + PIECE])))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._gone(self._number)

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def end(self) -> None:
        if self._transport is not None:
            self._transport.close()
