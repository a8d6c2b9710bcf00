"""Messages between a Locust user and its sender: length-prefixed tuples over two pipes.

``marshal`` because both ends run the same interpreter and the sender's time is dear: it packs a
request's hundred chunks in a few microseconds.
"""

from __future__ import annotations

import asyncio
import enum
import marshal
from typing import IO, Any, NamedTuple

_PREFIX = 4


class Ending(enum.IntEnum):
    """How an exchange ended, as far as the socket tells."""

    COMPLETE = 0
    CUT = 1
    TIMEOUT = 2
    UNSENT = 3


class Settings(NamedTuple):
    """The first order. ``base_urls``: every server that requests go to."""

    base_urls: list[str]
    timeout_s: float


class Batch(NamedTuple):
    """More requests: row of the schedule, time from the run's start, which server, bytes to be
    sent. In order."""

    rows: list[int]
    due_ns: list[int]
    servers: list[int]
    requests: list[bytes]


class Loaded(NamedTuple):
    """There are no more; answered by ``Ready``."""


class Start(NamedTuple):
    """The run's start on the monotonic clock. The end of input after it means stop."""

    at_ns: int


class Ready(NamedTuple):
    """Everything has been taken in; only the start is missing."""


class Captured(NamedTuple):
    """One exchange, undecoded. Times are absolute monotonic nanoseconds, 0 where there is none.
    ``chunks[i]`` of the body arrived at ``times[i]``."""

    row: int
    ending: int
    sent_ns: int
    connect_ns: int
    first_byte_ns: int
    end_ns: int
    http_status: int
    retry_after: str
    times: list[int]
    chunks: list[bytes]
    error: str


class Finished(NamedTuple):
    """The share is done with. ``read_lags_ns``: how late the loop came to a timer of its own."""

    cpu_ns: int
    read_lags_ns: list[int]


Message = Settings | Batch | Loaded | Start | Ready | Captured | Finished
_KINDS: tuple[type[Any], ...] = (Settings, Batch, Loaded, Start, Ready, Captured, Finished)
_CODES = {kind: code for code, kind in enumerate(_KINDS)}


def pack(message: Message) -> bytes:
    content = marshal.dumps((_CODES[type(message)], tuple(message)))
    return len(content).to_bytes(_PREFIX, "little") + content


def read(stream: IO[bytes]) -> Message | None:
    """The next message, or None at the end of the stream, even if that cuts a message."""
    prefix = stream.read(_PREFIX)
    if len(prefix) < _PREFIX:
        return None
    length = int.from_bytes(prefix, "little")
    content = stream.read(length)
    return _unpack(content) if len(content) == length else None


async def read_async(stream: asyncio.StreamReader) -> Message | None:
    """``read`` for an event loop."""
    try:
        prefix = await stream.readexactly(_PREFIX)
        return _unpack(await stream.readexactly(int.from_bytes(prefix, "little")))
    except asyncio.IncompleteReadError:
        return None


def _unpack(content: bytes) -> Message:
    code, fields = marshal.loads(content)
    message: Message = _KINDS[code](*fields)
    return message
