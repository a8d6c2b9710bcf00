"""Encodes steps as bytes: events, HTTP/1.1 chunks, heads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from .script import Script, Step

Rendered = tuple[bytes, bytes]
"""The bytes before and after the send time; the second is empty if no time is embedded."""


def render(step: Step, newline: bytes) -> Rendered:
    """Encode an event except for its send time."""
    end = newline * 2
    if isinstance(step.content, bytes):
        is_event = step.content.startswith((b"data:", b":"))
        return step.content + (end if is_event else b""), b""
    body = json.dumps(step.content, ensure_ascii=False, separators=(",", ":")).encode()
    return b"data: " + body[:-1] + b',"sent_ns":', b"}" + end


def stamped(rendered: Rendered, now_ns: int) -> bytes:
    before, after = rendered
    return b"%b%d%b" % (before, now_ns, after) if after else before


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


END = b"0\r\n\r\n"


def head(script: Script) -> bytes:
    return _head(script.status, {**script.headers, "Transfer-Encoding": "chunked"})


def whole(status: int, body: bytes) -> bytes:
    """Encode a response that is not streamed."""
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    return _head(status, fields) + body


def _head(status: int, fields: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def halves(data: bytes) -> tuple[bytes, bytes]:
    """Split after the first byte of the first multi-byte character, or else in the middle."""
    at = next((index for index, byte in enumerate(data) if byte >= 0xC0), len(data) // 2)
    return data[: at + 1], data[at + 1 :]
