"""Base classes of the messages between machines, and the bounds of their fields.

Each protocol defines its messages in its own file. Unknown fields and values out of bounds are
refused.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from pydantic import BaseModel

MOST_TEXT = 128 << 10

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Ns = Count
"""A time of the sender's monotonic clock, in nanoseconds."""
Name = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]{1,64}\Z")]
Label = Annotated[str, Meta(min_length=1, max_length=4096)]
"""Name of a function, a device or a file."""
Text = Annotated[str, Meta(max_length=MOST_TEXT)]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base class of structures inside messages."""


class Message(Part, frozen=True, tag_field="kind", tag=True):
    """A message, tagged with the name of its class."""


class Ping(Message, frozen=True):
    """Asks for the time; ``asked_ns`` is by the sender's clock."""

    asked_ns: Ns


class Pong(Message, frozen=True):
    """Answers :class:`Ping` with the time ``t_ns`` by the sender's clock; repeats ``asked_ns``."""

    asked_ns: Ns
    t_ns: Ns


def encode(message: Message) -> bytes:
    return _ENCODER.encode(message)


def decoder(vocabulary: Any) -> msgspec.msgpack.Decoder[Any]:
    """Return a decoder of the union ``vocabulary``; it raises ``ValueError`` for all others."""
    return msgspec.msgpack.Decoder(vocabulary, dec_hook=_model)


def one_line(error: Exception | str) -> str:
    """Return the error's text in one line of printable characters, shortened: it quotes a peer."""
    text = " ".join(str(error).split())[:300]
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)[:300]


def _plain(value: Any) -> Any:
    """Convert a pydantic model to plain data; the receiver validates it again."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise NotImplementedError(f"{type(value).__name__} does not travel between machines")


def _model(kind: type, value: Any) -> Any:
    if issubclass(kind, BaseModel):
        return kind.model_validate(value)
    raise NotImplementedError(f"{kind.__name__} does not travel between machines")


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_plain)
