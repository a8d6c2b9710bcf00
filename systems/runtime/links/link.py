"""Length-prefixed messages over a connection, and which messages a peer may send when."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .message import Message, decoder, encode, one_line
from .tls import CLOSE_S

_PREFIX = 4
MOST = 64 << 20
"""Maximum bytes of a message and of the send buffer; a peer that exceeds either is closed."""
MOST_OF_A_STRANGER = 4 << 10

Expected = Mapping[type[Message], Callable[[Any], None]]
"""The messages that the other end may send now, and their handlers."""


class Frames:
    """Splits received bytes, in chunks of any size, into the contents of messages."""

    def __init__(self, most: int = MOST_OF_A_STRANGER) -> None:
        self.most = most
        self._buffer = bytearray()

    def take(self, data: bytes) -> Iterator[bytes]:
        """Yield complete messages. Raise ``ValueError`` at one longer than ``most``."""
        self._buffer += data
        while len(self._buffer) >= _PREFIX:
            length = int.from_bytes(self._buffer[:_PREFIX], "big")
            if length > self.most:
                raise ValueError(f"a message of {length} bytes, at most {self.most} are taken")
            if len(self._buffer) < _PREFIX + length:
                return
            content = bytes(self._buffer[_PREFIX : _PREFIX + length])
            del self._buffer[: _PREFIX + length]
            yield content


def pack(message: Message) -> bytes:
    content = encode(message)
    return len(content).to_bytes(_PREFIX, "big") + content


class Link(asyncio.Protocol):
    """One end of a connection. The peer sends messages of the union ``vocabulary``, at first only
    short ones of ``expected``. ``on_close`` is called once, with the reason."""

    def __init__(
        self,
        vocabulary: Any,
        expected: Expected,
        on_close: Callable[[str], None],
        within_s: float | None = None,
    ) -> None:
        self._decoder = decoder(vocabulary)
        self._expected, self._within_s, self._on_close = expected, within_s, on_close
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._why = ""
        self._room = asyncio.Event()
        self._room.set()
        self.closed = asyncio.Event()
        self.peer = ""
        """The peer's address, stored when the link is up: a closed TLS connection has lost it."""

    def expect(
        self, expected: Expected, *, most: int = MOST, within_s: float | None = None
    ) -> None:
        """Accept only these messages from now on, of at most ``most`` bytes. Close the link after
        ``within_s`` seconds, unless ``expect`` is called again before."""
        self._expected, self._frames.most = expected, most
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        if within_s is not None:
            late = f"it did not send an expected message within {within_s:g} s"
            self._limit = asyncio.get_running_loop().call_later(within_s, self.close, late)

    def send(self, message: Message) -> None:
        """Send as soon as there is room; drop the message if the link is closed."""
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(pack(message))
        if self._transport.get_write_buffer_size() > MOST:
            self.close("it does not read what it is sent")

    def close(self, why: str = "closed") -> None:
        """Close at once; unsent messages are lost."""
        self._why = self._why or why
        if self._transport is not None:
            self._transport.abort()

    async def finish(self) -> None:
        """Close once everything is sent, or after ``CLOSE_S``."""
        if self._transport is not None:
            self._transport.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.closed.wait(), CLOSE_S)
            self._transport.abort()

    async def drain(self) -> None:
        """Wait until the send buffer is nearly empty."""
        await self._room.wait()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self.peer = str(transport.get_extra_info("peername")[0])
        self.expect(self._expected, most=MOST_OF_A_STRANGER, within_s=self._within_s)

    def data_received(self, data: bytes) -> None:
        try:
            for content in self._frames.take(data):
                if not self._why:
                    self._hear(self._decoder.decode(content))
        except (ValueError, RecursionError) as error:
            self.close(f"it does not keep to the protocol: {one_line(error)}")

    def _hear(self, message: Message) -> None:
        handler = self._expected.get(type(message))
        if handler is None:
            raise ValueError(f"it may not say {type(message).__name__} now")
        handler(message)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._limit is not None:
            self._limit.cancel()
        if not self.closed.is_set():
            self.closed.set()
            self._room.set()
            self._on_close(self._why or (str(exc) if exc else "it hung up"))
