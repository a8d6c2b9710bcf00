"""Whole messages over a TCP connection: JSON, its length first."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

Message = dict[str, Any]

_PREFIX = 4
_FINISH_S = 2.0
MOST = 64 << 20
"""Bytes of a message, and of what may wait to be sent; a peer beyond either is given up."""
MOST_OF_A_STRANGER = 4 << 10


class Frames:
    """Messages out of bytes as they come, however they are cut."""

    def __init__(self, most: int = MOST_OF_A_STRANGER) -> None:
        self.most = most
        self._buffer = bytearray()

    def take(self, data: bytes) -> Iterator[Message]:
        """``ValueError`` at the first that is longer than ``most``, or not a message."""
        self._buffer += data
        while len(self._buffer) >= _PREFIX:
            length = int.from_bytes(self._buffer[:_PREFIX], "big")
            if length > self.most:
                raise ValueError(f"a message of {length} bytes, at most {self.most} are taken")
            if len(self._buffer) < _PREFIX + length:
                return
            content = bytes(self._buffer[_PREFIX : _PREFIX + length])
            del self._buffer[: _PREFIX + length]
            message = json.loads(content)
            if not isinstance(message, dict) or not isinstance(message.get("kind"), str):
                raise ValueError("a message without a kind")
            yield message


def pack(kind: str, fields: Message) -> bytes:
    content = json.dumps({"kind": kind, **fields}, separators=(",", ":")).encode()
    return len(content).to_bytes(_PREFIX, "big") + content


class Link(asyncio.Protocol):
    """One end. ``on_message`` gets every message; ``on_close`` is called once, with the reason."""

    def __init__(
        self, on_message: Callable[[Message], None], on_close: Callable[[str], None]
    ) -> None:
        self._on_message, self._on_close = on_message, on_close
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._why = ""
        self._room = asyncio.Event()
        self._room.set()
        self.closed = asyncio.Event()

    def trust(self, on_message: Callable[[Message], None]) -> None:
        """The peer has shown who it is: take messages of any sensible length from now on."""
        self._frames.most, self._on_message = MOST, on_message

    @property
    def peer(self) -> str:
        """The other end's address."""
        assert self._transport is not None, "asked of a link that is up"
        return str(self._transport.get_extra_info("peername")[0])

    def send(self, kind: str, **fields: Any) -> None:
        """Send as soon as there is room; dropped once the other end is gone."""
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(pack(kind, fields))
        if self._transport.get_write_buffer_size() > MOST:
            self.close("it does not read what it is sent")

    def close(self, why: str = "closed") -> None:
        """At once; what was not sent yet is lost."""
        self._why = self._why or why
        if self._transport is not None:
            self._transport.abort()

    async def finish(self) -> None:
        """Hang up once everything is sent, or could not be for a while."""
        if self._transport is not None:
            self._transport.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.closed.wait(), _FINISH_S)

    async def drain(self) -> None:
        """Wait until most of what was sent has left."""
        await self._room.wait()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._frames.take(data):
                self._on_message(message)
        except (ValueError, KeyError, TypeError) as error:
            self.close(f"it does not speak as a node does: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.is_set():
            self.closed.set()
            self._room.set()
            self._on_close(self._why or (str(exc) if exc else "it hung up"))
