"""Parses server-sent events from bytes in pieces of any size (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from typing import NamedTuple


class Event(NamedTuple):
    """An event. ``data`` stays undecoded: a character may be split over reads, not over events."""

    data: bytes
    type: bytes = b"message"


class EventParser:
    """Returns for each read the events that it completes."""

    def __init__(self) -> None:
        self._tail = b""
        self._skip_line_feed = False
        self._at_start = True

    def feed(self, data: bytes) -> list[Event]:
        if self._is_one_event(data):
            self._at_start = False
            return [Event(data[6:-2])]
        if b"\r" in data or self._skip_line_feed:
            data = self._with_line_feeds(data)
        *blocks, self._tail = (self._tail + data).split(b"\n\n")
        if blocks and self._at_start:
            self._at_start = False
            blocks[0] = blocks[0].removeprefix(b"\xef\xbb\xbf")
        return [event for block in blocks if (event := _event(block)) is not None]

    def _is_one_event(self, data: bytes) -> bool:
        """Fast path, true for nearly every read: one data line, end of event, nothing pending."""
        return (
            not self._tail
            and data.startswith(b"data: ")
            and data.find(b"\n") == len(data) - 2
            and data.endswith(b"\n\n")
            and b"\r" not in data
        )

    def _with_line_feeds(self, data: bytes) -> bytes:
        """Convert CRLF and lone CR to LF. The LF of a CRLF split over reads is dropped later."""
        if not data:
            return data
        if self._skip_line_feed and data.startswith(b"\n"):
            data = data[1:]
            self._skip_line_feed = False
            return self._with_line_feeds(data)
        self._skip_line_feed = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _event(block: bytes) -> Event | None:
    """Parse one event; None for comments (pings) and other blocks without data."""
    if block.startswith(b"data: ") and b"\n" not in block:
        return Event(block[6:])
    lines: list[bytes] = []
    kind = b"message"
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            lines.append(value)
        elif name == b"event":
            kind = value
    return Event(b"\n".join(lines), kind) if lines else None
