"""Server-sent events, however the bytes arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.replay.sse import Event, EventParser

line = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20)
events = st.lists(
    st.one_of(
        st.tuples(st.just("data"), st.lists(line, min_size=1, max_size=3)),
        st.tuples(st.just("ping"), st.lists(line, min_size=1, max_size=1)),
    ),
    max_size=8,
)


def encode(content: list[tuple[str, list[str]]], newline: str) -> tuple[bytes, list[bytes]]:
    text, data = "", []
    for kind, lines in content:
        prefix = "data: " if kind == "data" else ": "
        text += "".join(f"{prefix}{part}{newline}" for part in lines) + newline
        if kind == "data":
            data.append("\n".join(lines).encode())
    return text.encode(), data


@given(events, st.sampled_from(["\n", "\r\n", "\r"]), st.data())
def test_every_event_comes_out_whole(
    content: list[tuple[str, list[str]]], newline: str, data: st.DataObject
) -> None:
    stream, expected = encode(content, newline)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10).map(sorted))
    parser, got = EventParser(), []
    for first, last in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += [event.data for event in parser.feed(stream[first:last])]
    assert got == expected


@given(events, st.sampled_from(["\n", "\r\n", "\r"]))
def test_an_event_is_out_with_the_byte_that_ends_it(
    content: list[tuple[str, list[str]]], newline: str
) -> None:
    parser, completed = EventParser(), 0
    for kind, lines in content:
        stream, _ = encode([(kind, lines)], newline)
        final = len(stream) - (newline == "\r\n")  # CR alone may end a line: LF adds nothing
        completed = sum(len(parser.feed(stream[i : i + 1])) for i in range(final))
        assert completed == (kind == "data")
        assert parser.feed(stream[final:]) == []


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data:tight\n\n", [Event(b"tight")]),
        (b"data:  two\n\n", [Event(b" two")]),
        (b"event: error\ndata: x\n\n", [Event(b"x", b"error")]),
        (b"id: 3\nretry: 10\n\n", []),
        (b"\xef\xbb\xbfdata: after a byte order mark\n\n", [Event(b"after a byte order mark")]),
        (b"\n\n\ndata: x\n\n", [Event(b"x")]),
        (b"data: never ended\n", []),
        (b"data\n\n", [Event(b"")]),
    ],
)
def test_corners_of_the_standard(stream: bytes, expected: list[Event]) -> None:
    assert EventParser().feed(stream) == expected
