"""A receiver without a network, and all kinds of invalid messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from systems.runtime.links.link import Link, pack
from systems.runtime.links.message import Message

NOWHERE = {"": [[]]}
"""A value that no field accepts."""


class Wire(asyncio.Transport):
    """The transport of a link; the test plays the other end."""

    def __init__(self, link: Link, vocabulary: Any = None) -> None:
        super().__init__()
        self.link, self.gone = link, False
        self.written: list[bytes] = []
        self._decoder = msgspec.msgpack.Decoder(vocabulary or Any)
        link.connection_made(self)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.7", 4711) if name == "peername" else default

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.gone

    def abort(self) -> None:
        if not self.gone:
            self.gone = True
            self.link.connection_lost(None)

    close = abort

    def say(self, *messages: Message) -> None:
        for message in messages:
            self.link.data_received(pack(message))

    def say_raw(self, content: bytes) -> None:
        self.link.data_received(len(content).to_bytes(4, "big") + content)

    @property
    def heard(self) -> list[Any]:
        """The messages that the link has sent, as plain data."""
        return [msgspec.msgpack.decode(data[4:]) for data in self.written]


def plain(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(message, builtin_types=(bytes,), enc_hook=_dumped)
    return found


def _dumped(value: Any) -> Any:
    return value.model_dump(mode="json")


def wrong(message: Message) -> Iterator[tuple[str, bytes]]:
    """Variants of ``message`` with one error each, and a description of the error."""
    right = plain(message)
    made = msgspec.msgpack.encode
    fields = msgspec.structs.fields(message)
    yield "an unknown field", made({**right, "more": 1})
    yield "another kind", made({**right, "kind": "Nothing"})
    yield "no kind", made({name: value for name, value in right.items() if name != "kind"})
    yield "no object", made([right])
    yield "a part of it", made(right)[:-1]
    yield "more than it", made(right) + b"\xc0"
    for field in fields:
        value = right[field.name]
        yield f"{field.name} of no type of its own", made({**right, field.name: NOWHERE})
        if field.required:
            yield f"no {field.name}", made({k: v for k, v in right.items() if k != field.name})
        if type(value) is int:
            yield f"{field.name} too large", made({**right, field.name: 2**64 - 1})
        if type(value) is str:
            yield f"{field.name} too long", made({**right, field.name: "x" * (1 << 18)})
        if type(value) is list:
            yield f"{field.name} without end", made({**right, field.name: value * (1 << 17)})


def kinds(vocabulary: Any) -> set[type[Message]]:
    return set(vocabulary.__args__)


Reached = Callable[[], Wire]
"""Makes a receiver in the tested stage."""


def refuses_what_is_wrong(reach: Reached, message: Message) -> None:
    """Check that the stage accepts ``message`` and refuses its invalid variants."""
    wire = reach()
    wire.say(message)
    assert not wire.link._why, f"{message} is right, and was refused: {wire.link._why}"
    for what, content in wrong(message):
        wire = reach()
        before = len(wire.written)
        wire.say_raw(content)
        assert "does not keep to the protocol" in wire.link._why, (type(message).__name__, what)
        assert "\n" not in wire.link._why
        assert len(wire.link._why) < 400
        assert wire.gone
        assert len(wire.written) == before, "it was answered"


def refuses_what_is_out_of_order(
    reach: Reached, samples: dict[type[Message], Message], expected: set[type[Message]]
) -> None:
    """Check that the stage accepts ``expected`` and refuses all other messages of ``samples``."""
    for kind, message in samples.items():
        wire = reach()
        wire.say(message)
        refused = f"may not say {kind.__name__} now" in wire.link._why
        assert refused is (kind not in expected), (kind.__name__, wire.link._why)
        assert wire.gone or not refused
