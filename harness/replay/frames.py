"""Messages between a Locust user and its sender: length-prefixed tuples over two pipes.

Encoded by ``marshal``, because both ends run the same interpreter and the sender has little time:
it packs the hundred chunks of a request in a few microseconds.
"""

from __future__ import annotations

import asyncio
import enum
import marshal
from typing import IO, Any, NamedTuple

_PREFIX = 4


class Ending(enum.IntEnum):
    """How an exchange ended, as seen at the socket."""

    COMPLETE = 0
    CUT = 1
    TIMEOUT = 2
    UNSENT = 3


class Settings(NamedTuple):
    """The first message to the sender. ``base_urls``: all servers that receive requests."""

    base_urls: list[str]
    timeout_s: float
    user_starts_ns: list[int]
    """When each user of a closed loop begins, after the run's start; empty: the load is open."""
    think_ns: int


class Batch(NamedTuple):
    """Requests in send order: row of the schedule, time from the start, server's index, bytes."""

    rows: list[int]
    due_ns: list[int]
    servers: list[int]
    requests: list[bytes]


class Loaded(NamedTuple):
    """The last batch has been sent; the sender replies with ``Ready``."""


class Start(NamedTuple):
    """The run's start on the monotonic clock. After it, the end of input means stop."""

    at_ns: int


class Ready(NamedTuple):
    """The sender has all requests and waits for the start."""


class Captured(NamedTuple):
    """One exchange, undecoded. Times are absolute monotonic nanoseconds, 0 if unknown.
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
    due_ns: int = 0
    """When the request was to be sent."""


class Finished(NamedTuple):
    """The share is complete. ``read_lags_ns``: delays of the loop's own timer."""

    cpu_ns: int
    read_lags_ns: list[int]


Message = Settings | Batch | Loaded | Start | Ready | Captured | Finished
_KINDS: tuple[type[Any], ...] = (Settings, Batch, Loaded, Start, Ready, Captured, Finished)
_CODES = {kind: code for code, kind in enumerate(_KINDS)}


def pack(message: Message) -> bytes:
    content = marshal.dumps((_CODES[type(message)], tuple(message)))
    return len(content).to_bytes(_PREFIX, "little") + content


def read(stream: IO[bytes]) -> Message | None:
    """Read the next message. Returns None at the end of the stream, even within a message."""
    prefix = stream.read(_PREFIX)
    if len(prefix) < _PREFIX:
        return None
    length = int.from_bytes(prefix, "little")
    content = stream.read(length)
    return _unpack(content) if len(content) == length else None


async def read_async(stream: asyncio.StreamReader) -> Message | None:
    """Asynchronous ``read``."""
    try:
        prefix = await stream.readexactly(_PREFIX)
        return _unpack(await stream.readexactly(int.from_bytes(prefix, "little")))
    except asyncio.IncompleteReadError:
        return None


def _unpack(content: bytes) -> Message:
    code, fields = marshal.loads(content)
    message: Message = _KINDS[code](*fields)
    return message
