"""Token ids as text: the same whatever is held back, in time that grows with their number alone."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers.decoders import DecodeStream

from systems.interface import Deployment
from systems.runtime.http.text import MOST_HELD, Text

EURO = "\u20ac".encode()
"""Three bytes: the first two alone are no character."""


@pytest.fixture
def text(deployment: Deployment) -> Text:
    return Text(next(iter(deployment.backbones.values())))


def said(text: Text, ids: Iterable[int], *, skip_special: bool = True) -> str:
    decoder = text.decoder(skip_special=skip_special)
    return "".join(map(decoder.text, ids))


def tokens_of(text: Text, raw: bytes) -> list[int]:
    """Return a token for each byte."""
    whole = range(text.vocabulary)
    alone = {name_of(text, id_): id_ for id_ in whole if len(name_of(text, id_)) == 1}
    return [alone[_as_letter(byte)] for byte in raw]


def name_of(text: Text, id_: int) -> str:
    return text._tokenizer.id_to_token(id_) or ""


def _as_letter(byte: int) -> str:
    """Return the letter that stands for a byte in a byte-level vocabulary."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [each for each in range(256) if each not in visible]
    return chr(byte) if byte in visible else chr(256 + others.index(byte))


def seconds(text: Text, id_: int, count: int) -> float:
    began = time.process_time()
    said(text, [id_] * count)
    return time.process_time() - began


@pytest.mark.parametrize("kind", ["special", "no character"])
def test_tokens_without_text_take_time_in_proportion_to_their_number(text: Text, kind: str) -> None:
    """8,000 bytes that are no character took 11 s, in which no other caller was served."""
    id_ = text.stop_ids[0] if kind == "special" else tokens_of(text, b"\x80")[0]
    seconds(text, id_, 100)
    assert seconds(text, id_, 8000) < 9 * seconds(text, id_, 2000)


def test_bytes_that_are_no_character_are_shown_as_such(text: Text) -> None:
    held = 3 * MOST_HELD
    shown = said(text, [*tokens_of(text, b"\x80" * held), *tokens_of(text, b"ab")])
    assert shown == "\ufffd" * held + "ab"


@pytest.mark.parametrize("count", range(MOST_HELD - 4, MOST_HELD + 4))
def test_a_character_that_begins_among_tokens_without_text_is_whole(text: Text, count: int) -> None:
    ids = [*tokens_of(text, b"a"), *[text.stop_ids[0]] * count, *tokens_of(text, EURO + b" b")]
    assert said(text, ids) == "a\u20ac b"


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_text_is_the_same_as_that_of_one_stream(text: Text, data: st.DataObject) -> None:
    """Of what has fewer bytes in a row that are no characters than are held back."""
    special = st.lists(st.just(text.stop_ids[0]), max_size=3 * MOST_HELD)
    words = st.text("ab \u20ac\U0001f600", max_size=20)
    spelt = words.map(lambda part: tokens_of(text, part.encode()))
    ids = [id_ for part in data.draw(st.lists(special | spelt)) for id_ in part]
    stream = DecodeStream(skip_special_tokens=True)
    whole = "".join(stream.step(text._tokenizer, id_) or "" for id_ in ids)
    assert said(text, ids) == whole
