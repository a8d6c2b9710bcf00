"""Connects the machines of a run. A link is up once both ends have proved the run's key."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable

from .link import Link
from .tls import CLOSE_S, HANDSHAKE_S, client_context, server_context, why

_MOST_STRANGERS = 64
"""Concurrent handshakes; a further connection cancels the oldest one."""
_MOST_TOLD = 100
"""Log lines about refused peers; more would fill the log."""
_BACKLOG = 128
_RETRY_S = 0.1
"""Pause after a connection could not be accepted, for example without free descriptors."""


class StrangerError(ConnectionError):
    """The other end did not prove the key of the run; the text says what it did."""


async def connect(link: Link, host: str, port: int, secret: str) -> None:
    """Connect ``link``. Raise ``StrangerError`` if the other end does not have the run's key,
    ``OSError`` if it does not answer."""
    try:
        await asyncio.get_running_loop().create_connection(
            lambda: link,
            host,
            port,
            ssl=client_context(secret),
            ssl_handshake_timeout=HANDSHAKE_S,
            ssl_shutdown_timeout=CLOSE_S,
        )
    except (ssl.SSLError, ConnectionAbortedError, ConnectionResetError) as error:
        raise StrangerError(why(error)) from error


class Listener:
    """Accepts peers that know ``secret`` and calls ``make`` for the link of each. It calls
    ``on_refused`` with one line for every other peer."""

    def __init__(
        self, secret: str, make: Callable[[], Link], on_refused: Callable[[str], None]
    ) -> None:
        self._context = server_context(secret)
        self._make, self._on_refused = make, on_refused
        self._told = 0
        self._strangers: dict[asyncio.Task[None], str] = {}
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None

    async def open(self, host: str, port: int = 0) -> int:
        """Listen and return the port. Raise ``OSError`` if that fails."""
        listening = socket.create_server((host, port), backlog=_BACKLOG)
        listening.setblocking(False)
        self._socket = listening
        self._accepting = asyncio.get_running_loop().create_task(self._accept(listening))
        return int(listening.getsockname()[1])

    def close(self) -> None:
        """Stop accepting and close connections in their handshake. Established links stay open."""
        for task in (self._accepting, *self._strangers):
            if task is not None:
                task.cancel()
        if self._socket is not None:
            self._socket.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                stranger, address = await loop.sock_accept(listening)
            except OSError:
                await asyncio.sleep(_RETRY_S)
                continue
            if len(self._strangers) >= _MOST_STRANGERS:
                next(iter(self._strangers)).cancel()
            task = loop.create_task(self._meet(stranger, f"{address[0]}:{address[1]}"))
            self._strangers[task] = address[0]
            task.add_done_callback(self._strangers.pop)

    async def _meet(self, stranger: socket.socket, address: str) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._make,
                stranger,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=CLOSE_S,
            )
        except OSError as error:
            self._refuse(f"{address} was refused: {why(error)}")
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):
                stranger.close()
            raise

    def _refuse(self, line: str) -> None:
        self._told += 1
        if self._told <= _MOST_TOLD:
            self._on_refused(line)
