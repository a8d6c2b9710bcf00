"""Messages from the sender to its Locust user: length-prefixed tuples over a pipe.

``marshal`` because both ends run the same interpreter and the sender's time is dear: it packs a
request's hundred chunks in a few microseconds.
"""

from __future__ import annotations

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


class Ready(NamedTuple):
    """Every request of the share is encoded."""

    rows: int


class Finished(NamedTuple):
    """The share is done with. ``read_lags_ns``: how late the loop came to a timer of its own."""

    cpu_ns: int
    read_lags_ns: list[int]


Message = Captured | Ready | Finished
_KINDS: tuple[type[Any], ...] = (Captured, Ready, Finished)
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
    if len(content) < length:
        return None
    code, fields = marshal.loads(content)
    message: Message = _KINDS[code](*fields)
    return message
