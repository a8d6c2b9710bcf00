"""One HTTP/1.1 connection: every read is timestamped before it is parsed.

Only the framing of the response is parsed here (httptools, in C), because the connection is reused
after the end of a response. The body is decoded later, in another process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import httptools

from .frames import Captured, Ending


class Exchange:
    """One request in progress."""

    __slots__ = (
        "chunks",
        "connect_ns",
        "connection",
        "due_ns",
        "finished",
        "first_byte_ns",
        "http_status",
        "retry_after",
        "row",
        "sent_ns",
        "timer",
        "times",
    )

    def __init__(self, row: int, due_ns: int, sent_ns: int) -> None:
        self.row, self.due_ns, self.sent_ns = row, due_ns, sent_ns
        self.connect_ns = self.first_byte_ns = self.http_status = 0
        self.retry_after = ""
        self.times: list[int] = []
        self.chunks: list[bytes] = []
        self.connection: Connection | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.finished = False

    def captured(self, ending: Ending, error: str) -> Captured:
        return Captured(
            row=self.row,
            ending=int(ending),
            sent_ns=self.sent_ns,
            connect_ns=self.connect_ns,
            first_byte_ns=self.first_byte_ns,
            end_ns=time.monotonic_ns() if ending != Ending.COMPLETE else self._last_ns,
            http_status=self.http_status,
            retry_after=self.retry_after,
            times=self.times,
            chunks=self.chunks,
            error=error,
            due_ns=self.due_ns,
        )

    @property
    def _last_ns(self) -> int:
        return self.connection.now_ns if self.connection else time.monotonic_ns()


class Connection(asyncio.Protocol):
    """Carries one exchange at a time. Calls ``ended(connection, exchange, ending, error)`` at the
    end of an exchange and ``lost(connection)`` when the connection is closed."""

    def __init__(
        self,
        ended: Callable[[Connection, Exchange, Ending, str], None],
        lost: Callable[[Connection], None],
    ) -> None:
        self._ended, self._lost = ended, lost
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._exchange: Exchange | None = None
        self._framed = self._complete = False
        self.now_ns = 0

    def carry(self, exchange: Exchange, request: bytes) -> None:
        assert self._transport is not None, "carries nothing before it is connected"
        exchange.connection = self
        self._exchange = exchange
        self._framed = self._complete = False
        self._transport.write(request)

    @property
    def reusable(self) -> bool:
        return bool(self._complete and self._parser.should_keep_alive())

    def abort(self) -> None:
        self._exchange = None
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.received(data, time.monotonic_ns())

    def received(self, data: bytes, at_ns: int) -> None:
        """Handle ``data`` that reached this host at ``at_ns``."""
        self.now_ns = at_ns
        exchange = self._exchange
        if exchange is None:  # unsolicited bytes
            self.abort()
            return
        if not exchange.first_byte_ns:
            exchange.first_byte_ns = at_ns
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(Ending.CUT, f"not HTTP: {error}")
            self.abort()
            return
        if self._complete:
            self._end(Ending.COMPLETE, "")

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end once. Called twice if ``Arrivals``, not the transport, read the end."""
        self._lost(self)
        exchange = self._exchange
        if exchange is not None and exchange.http_status and not self._framed and exc is None:
            self._end(Ending.COMPLETE, "")  # a body without a length ends with its connection
        else:
            self._end(Ending.CUT, _why(exc, exchange))
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        if lower in (b"content-length", b"transfer-encoding"):
            self._framed = True
        elif lower == b"retry-after" and self._exchange is not None:
            self._exchange.retry_after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._exchange is not None:
            self._exchange.http_status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if self._exchange is not None:
            self._exchange.times.append(self.now_ns)
            self._exchange.chunks.append(body)

    def on_message_complete(self) -> None:
        self._complete = self._exchange is not None and self._exchange.http_status >= 200

    def _end(self, ending: Ending, error: str) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._ended(self, exchange, ending, error)


def _why(exc: Exception | None, exchange: Exchange | None) -> str:
    place = "mid-stream" if exchange is not None and exchange.chunks else "before any answer"
    return f"the server closed the connection {place}" + (f" ({exc})" if exc else "")
