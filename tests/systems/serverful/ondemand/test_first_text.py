"""The first text of a stream, however the stream is cut."""

from __future__ import annotations

import json

import pytest

from systems.serverful.ondemand.first_text import FirstText


def event(choice: dict[str, object], end: str = "\n\n") -> bytes:
    return f"data: {json.dumps({'choices': [choice]}, ensure_ascii=False)}{end}".encode()


NO_TEXT = (
    b": ping\n\n",
    event({"delta": {"role": "assistant", "content": ""}}),
    event({"text": ""}),
    event({"delta": None}),
    b'data: {"choices": [], "usage": {}}\n\n',
    b'data: {"error": {"message": "text"}}\n\n',
    b"data: [DONE]\n\n",
    b"data: {\n\n",
    b'data: {"choices": [1]}\n\n',
    b'data: {"choices": [{"delta": "text"}]}\n\n',
    b"data: " + b"[" * 100_000 + b"\n\n",
)


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n"])
@pytest.mark.parametrize("choice", [{"text": " №"}, {"delta": {"content": " №"}}])
def test_it_is_seen_with_the_byte_that_completes_it(choice: dict[str, object], end: str) -> None:
    first = FirstText()
    assert not any(map(first.feed, NO_TEXT))
    *parts, last = (bytes([byte]) for byte in event(choice, end))
    assert not any(map(first.feed, parts))
    assert first.feed(last)
    assert first.feed(b": ping\n\n"), "from then on"
