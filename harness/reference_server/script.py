"""Scripts: a response and its timing, prepared before it is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

TTFT_NS = 5_000_000
GAP_NS = 20_000_000


@dataclass(frozen=True, slots=True)
class Request:
    """A request. ``model`` selects the behaviour, see ``behaviours``; ``chat``: whether it asks for
    a chat's chunks rather than a completion's."""

    id: str
    model: str
    prompt: tuple[int, ...]
    max_tokens: int
    include_usage: bool
    chat: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A piece of the body, sent ``after_ns`` after the previous one; pieces 0 ns apart share one
    write. A mapping becomes a JSON event with its send time; bytes are sent unchanged."""

    after_ns: int
    content: Mapping[str, Any] | bytes
    ids: tuple[int, ...] = ()
    """The tokens whose text the piece contains."""


@dataclass(frozen=True, slots=True)
class Script:
    """A complete response. ``head_after_ns``: None sends the head with the first piece."""

    steps: Sequence[Step]
    status: int = 200
    headers: Mapping[str, str] = field(
        default_factory=lambda: {"Content-Type": "text/event-stream; charset=utf-8"}
    )
    head_after_ns: int | None = None
    newline: bytes = b"\n"
    split: bool = False
    """Whether every event is split within a character, with 1 ms between the halves."""
    ending: Literal["end", "cut", "stall"] = "end"


def text_of(token: int) -> str:
    """Return the text of a token: unique, with a three-byte character (numero sign)."""
    return f" \N{NUMERO SIGN}{token}"


def answer_ids(request: Request) -> tuple[int, ...]:
    """Repeat the prompt's ids: valid ids that distinguish the responses of different requests."""
    return tuple(request.prompt[i % len(request.prompt)] for i in range(request.max_tokens))


def text_event(request: Request, ids: Sequence[int], finish: str | None = None) -> dict[str, Any]:
    choice = {
        "index": 0,
        **said(request, "".join(map(text_of, ids))),
        "token_ids": list(ids),
        "finish_reason": finish,
    }
    return envelope(request, [choice])


def said(request: Request, text: str) -> dict[str, Any]:
    """Return the field of a choice that holds ``text``."""
    return {"delta": {"content": text}} if request.chat else {"text": text}


def envelope(request: Request, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"{'chatcmpl' if request.chat else 'cmpl'}-{request.id}",
        "object": "chat.completion.chunk" if request.chat else "text_completion",
        "created": 0,
        "model": request.model,
        "choices": choices,
    }


def usage_event(request: Request, produced: int) -> dict[str, Any]:
    counts = {
        "prompt_tokens": len(request.prompt),
        "completion_tokens": produced,
        "total_tokens": len(request.prompt) + produced,
    }
    return {**envelope(request, []), "usage": counts}


DONE = Step(0, b"data: [DONE]")


def well_behaved(request: Request) -> Script:
    """One token per event, the first with the head; usage and [DONE] with the last."""
    ids = answer_ids(request)
    steps = [
        Step(
            TTFT_NS if index == 0 else GAP_NS,
            text_event(request, [token], "length" if index == len(ids) - 1 else None),
            (token,),
        )
        for index, token in enumerate(ids)
    ]
    if request.include_usage:
        steps.append(Step(0, usage_event(request, len(ids))))
    return Script([*steps, DONE])


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> Script:
    """An immediate error in OpenAI's format."""
    body = {"error": {"message": message, "type": "reference", "code": str(status)}}
    return Script(
        [Step(0, json.dumps(body).encode())],
        status=status,
        headers={"Content-Type": "application/json", **(headers or {})},
    )
