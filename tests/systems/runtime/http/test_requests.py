"""Every request parameter is applied, or refused with a one-line error before any work."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from systems.interface import Deployment
from systems.runtime.calls import Failure

from .endpoint import ANSWER, endpoint

MESSAGES = [{"role": "user", "content": "Hi"}]


def asked(deployment: Deployment, path: str, *bodies: dict[str, Any]) -> list[tuple[int, Any]]:
    async def ask() -> list[tuple[int, Any]]:
        async with endpoint(deployment) as at:
            return [await at.ask(path, **body) for body in bodies]

    return asyncio.run(ask())


def check_refused(answer: tuple[int, Any], param: str) -> None:
    status, content = answer
    assert status == 400, content
    assert content["error"]["type"] == "invalid_request_error"
    assert content["error"]["param"] == param
    assert "\n" not in content["error"]["message"]
    assert len(content["error"]["message"]) < 300


BOTH: dict[str, list[Any]] = {
    "n": [2, True],
    "echo": [True],
    "presence_penalty": [0.5],
    "frequency_penalty": [-1],
    "logit_bias": [{"5": 100}],
    "response_format": [{"type": "json_object"}],
    "top_k": [5],
    "stop_token_ids": [[2]],
    "structured_outputs": [{"json": {}}],
}
OF_COMPLETIONS: dict[str, list[Any]] = {
    **BOTH,
    "best_of": [2],
    "suffix": ["end"],
    "logprobs": [0, 5],
}
OF_CHAT: dict[str, list[Any]] = {
    **BOTH,
    "logprobs": [True],
    "tools": [[{"type": "function", "function": {"name": "x"}}]],
    "tool_choice": ["required"],
    "functions": [[{"name": "x"}]],
}
NOTHING_OF_BOTH: dict[str, list[Any]] = {
    "n": [1, None],
    "echo": [False, None],
    "presence_penalty": [0, 0.0, None],
    "frequency_penalty": [0, None],
    "logit_bias": [{}, None],
    "response_format": [{"type": "text"}, None],
    "top_k": [-1, 0, None],
    "logprobs": [None],
    "max_tokens": [None],
    "temperature": [None],
    "top_p": [None],
    "seed": [None],
    "stop": [None, [], ""],
    "stream": [None],
    "stream_options": [None, {"include_usage": None}],
    "ignore_eos": [None],
    "skip_special_tokens": [None],
    "user": ["somebody"],
    "a field of next year": [{"x": 1}],
}
NOTHING_OF_COMPLETIONS = {**NOTHING_OF_BOTH, "best_of": [1, None], "suffix": [None, ""]}
NOTHING_OF_CHAT = {
    **NOTHING_OF_BOTH,
    "tools": [[], None],
    "tool_choice": ["none", "auto", None],
    "max_completion_tokens": [None],
}


def each(fields: dict[str, list[Any]], **more: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(name, {**more, name: value}) for name, values in fields.items() for value in values]


@pytest.mark.parametrize(
    ("path", "cases"),
    [
        ("completions", each(OF_COMPLETIONS)),
        ("chat/completions", each(OF_CHAT, messages=MESSAGES)),
    ],
)
def test_what_is_not_supported_is_refused_by_its_name(
    deployment: Deployment, path: str, cases: list[tuple[str, dict[str, Any]]]
) -> None:
    answers = asked(deployment, path, *(body for _, body in cases))
    for (name, _), answer in zip(cases, answers, strict=True):
        check_refused(answer, name)
        assert "not supported" in answer[1]["error"]["message"]


@pytest.mark.parametrize(
    ("path", "cases"),
    [
        ("completions", each(NOTHING_OF_COMPLETIONS)),
        ("chat/completions", each(NOTHING_OF_CHAT, messages=MESSAGES)),
    ],
)
def test_what_asks_for_nothing_is_taken(
    deployment: Deployment, path: str, cases: list[tuple[str, dict[str, Any]]]
) -> None:
    answers = asked(deployment, path, *(body for _, body in cases))
    assert [(body, *a) for (_, body), a in zip(cases, answers, strict=True) if a[0] != 200] == []


def test_a_null_is_the_default(deployment: Deployment) -> None:
    names = ("max_tokens", "temperature", "top_p", "ignore_eos")
    null: dict[str, Any] = dict.fromkeys(names)

    async def ask() -> list[Any]:
        async with endpoint(deployment) as at:
            await at.ask("completions")
            await at.ask("completions", **null)
            return at.backend.calls

    plain, said = asyncio.run(ask())
    assert said.max_tokens == plain.max_tokens == 16
    assert replace(said.sampling, seed=0) == replace(plain.sampling, seed=0)


@pytest.mark.parametrize("bad", [-1, True, 5.0, "5", None, 10**30, 2**31, [5]])
def test_a_bad_token_id_is_named(deployment: Deployment, bad: Any) -> None:
    (answer,) = asked(deployment, "completions", {"prompt": [5, bad]})
    check_refused(answer, "prompt.1")


def test_a_token_id_that_the_model_has_no_embedding_for_is_refused(deployment: Deployment) -> None:
    config = json.loads((deployment.backbones["tiny"] / "config.json").read_text("utf-8"))
    last = config["vocab_size"] - 1
    good, bad = asked(deployment, "completions", {"prompt": [last]}, {"prompt": [last + 1]})
    assert good[0] == 200
    check_refused(bad, "prompt")


BOUNDS: dict[str, tuple[dict[str, Any], str]] = {
    "many stops": ({"stop": ["x"] * 5}, "stop"),
    "a long stop": ({"stop": "x" * 257}, "stop"),
    "a long one of several": ({"stop": ["x", "x" * 257]}, "stop.1"),
    "a long model": ({"model": "x" * 10_000}, "model"),
    "a number without end": ({"max_tokens": 10**30}, "max_tokens"),
    "many wrong ids": ({"prompt": [-1] * 10_000}, "prompt.0"),
}


@pytest.mark.parametrize("case", BOUNDS)
def test_counts_and_lengths_are_bounded(deployment: Deployment, case: str) -> None:
    body, param = BOUNDS[case]
    (answer,) = asked(deployment, "completions", body)
    check_refused(answer, param)


def test_messages_are_bounded(deployment: Deployment) -> None:
    (answer,) = asked(
        deployment, "chat/completions", {"messages": [{"role": "", "content": ""}] * 2049}
    )
    check_refused(answer, "messages")


RAW: dict[str, bytes] = {
    "nested without end": b'{"model": "f0", "prompt": [5], "x": ' + b"[" * 50_000,
    "half a character": b'{"model": "f0", "prompt": "\\ud800"}',
    "no text": b'{"model": "f0", "prompt": "\xff"}',
    "five thousand digits": b'{"model": "f0", "prompt": [1' + b"0" * 5_000 + b"]}",
    "not a number": b'{"model": "f0", "prompt": [5], "temperature": NaN}',
    "a list": b"[]",
    "nothing": b"",
}


def test_what_is_hardly_json_is_refused(deployment: Deployment) -> None:
    async def ask() -> dict[str, tuple[int, Any]]:
        async with endpoint(deployment) as at:
            found = {}
            for name, raw in RAW.items():
                async with at.session.post("/v1/completions", data=raw) as response:
                    found[name] = response.status, await response.json()
            return found

    for name, (status, content) in asyncio.run(ask()).items():
        assert status == 400, name
        assert content["error"]["code"] == "invalid_body", name
        assert len(content["error"]["message"]) < 300, name


def test_ids_of_completions_do_not_count_them(deployment: Deployment) -> None:
    one, other = (content["id"] for _, content in asked(deployment, "completions", {}, {}))
    assert one != other
    for found in (one, other):
        prefix, _, rest = found.partition("-")
        assert prefix == "cmpl"
        assert len(bytes.fromhex(rest)) >= 16


def test_what_comes_after_the_last_token_changes_no_answer(deployment: Deployment) -> None:
    """Its deadline may pass while the answer is read."""

    async def scene() -> tuple[int, Any]:
        late = (*ANSWER, Failure(504, "no answer within a second"))
        async with endpoint(deployment, late) as at:
            return await at.ask(max_tokens=2)

    status, content = asyncio.run(scene())
    assert (status, content["choices"][0]["finish_reason"]) == (200, "length")
