"""Stop strings end a completion wherever they occur, in one step or across several."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systems.runtime.calls import Tokens
from systems.runtime.http.completion import Answer, ChatShape, CompletionShape, Shape


class Letters:
    """Token n is the n-th letter."""

    def text(self, token: int) -> str:
        return "ab"[token]


@given(st.lists(st.integers(0, 1), min_size=1), st.lists(st.text("ab", min_size=1), max_size=3))
def test_an_answer_is_cut_where_its_first_stop_string_is_whole(
    ids: list[int], stops: list[str]
) -> None:
    answer = Answer(CompletionShape(), "id", "f0", cast(Any, Letters()), stops, 1)
    for id_ in ids:
        answer.take(Tokens((id_,), None))
        if answer.finished:
            break
    said = "".join("ab"[id_] for id_ in ids)
    whole = [end for end in range(len(said) + 1) if any(said[:end].endswith(s) for s in stops)]
    if not whole:
        assert (answer.text, answer.finished) == (said, None)
        return
    until = said[: whole[0]]
    begins = min(whole[0] - len(stop) for stop in stops if until.endswith(stop))
    assert (answer.text, answer.finished) == (said[:begins], "stop")


def test_a_stop_string_is_looked_for_once_in_each_part_of_an_answer() -> None:
    """A search of the whole text after each token took time quadratic in its length."""

    class Text(str):
        looked_at = 0

        def find(self, *args: Any) -> int:
            Text.looked_at += len(self) - (args[1] if len(args) > 1 else 0)
            return super().find(*args)

        def __add__(self, other: str) -> Text:
            return Text(super().__add__(other))

    answer = Answer(CompletionShape(), "id", "f0", cast(Any, Letters()), ["bb", "ba"], 1)
    answer.text = Text()
    for _ in range(1000):
        answer.take(Tokens((0,), None))
    assert Text.looked_at <= 2 * 2 * 1000


@given(st.lists(st.integers(0, 1), min_size=1), st.lists(st.text("ab", min_size=1), max_size=3))
def test_a_stream_sends_all_text_but_what_may_begin_a_stop_string(
    ids: list[int], stops: list[str]
) -> None:
    answer = Answer(CompletionShape(), "id", "f0", cast(Any, Letters()), stops, 1)
    sent = ""
    for id_ in ids:
        answer.take(Tokens((id_,), None))
        sent += _text_of(answer.chunk())
        assert answer.text.startswith(sent), "nothing is sent that is cut later"
        if answer.finished:
            assert sent == answer.text
            return
        held = answer.text[len(sent) :]
        assert not held or any(stop.startswith(held) for stop in stops)
        assert not _longer_begin(answer.text, held, stops)


def _longer_begin(text: str, held: str, stops: list[str]) -> bool:
    """Whether a longer end of ``text`` than ``held`` begins a stop string."""
    ends = [text[-n:] for n in range(len(held) + 1, len(text) + 1)]
    return any(stop.startswith(end) for stop in stops for end in ends)


def _text_of(event: bytes | None) -> str:
    if event is None:
        return ""
    return str(json.loads(event.removeprefix(b"data: "))["choices"][0]["text"])


def test_a_chat_names_its_role_once_and_ends_with_its_reason() -> None:
    answer = Answer(ChatShape(), "id", "f0", cast(Any, Letters()), [], 1)
    chunks = []
    for token, finished in ((0, None), (1, None), (0, "length")):
        answer.take(Tokens((token,), finished))
        chunks.append(json.loads((answer.chunk() or b"").removeprefix(b"data: ")))
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert [chunk["choices"] for chunk in chunks] == [
        [_piece({"role": "assistant", "content": "a"}, None)],
        [_piece({"content": "b"}, None)],
        [_piece({"content": "a"}, "length")],
    ]


@pytest.mark.parametrize("text", ['"', "\\", "\0", "\n", "é", "🦊", "data: {"])
@pytest.mark.parametrize("shape", [CompletionShape(), ChatShape()])
def test_any_text_is_sent_as_it_is(shape: Shape, text: str) -> None:
    """Of most chunks only the text is encoded."""

    class Same:
        def text(self, _: int) -> str:
            return text

    answer = Answer(shape, "id", f"f{text}", cast(Any, Same()), [], 1)
    for _ in range(3):
        answer.take(Tokens((0,), None))
        chunk = json.loads((answer.chunk() or b"").removeprefix(b"data: "))
    assert chunk["model"] == f"f{text}"
    assert chunk["choices"] == [shape.piece(text, None, first=False)]


def _piece(delta: dict[str, str], finished: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finished}


@pytest.mark.parametrize(
    ("shape", "kind", "said"),
    [
        (CompletionShape(), "text_completion", {"text": "ab"}),
        (ChatShape(), "chat.completion", {"message": {"role": "assistant", "content": "ab"}}),
    ],
)
def test_a_whole_answer_says_what_its_tokens_were(shape: Shape, kind: str, said: Any) -> None:
    answer = Answer(shape, "id", "f0", cast(Any, Letters()), [], 3, created=7)
    answer.take(Tokens((0, 1), "length"))
    choice = {"index": 0, "logprobs": None, "finish_reason": "length", **said}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    about = {"id": "id", "created": 7, "model": "f0"}
    assert answer.whole() == {**about, "object": kind, "choices": [choice], "usage": usage}
