"""Behaviours, selected by the model's name: ``any-name.word.word-number``, applied in order.

ref.ttft-50.gap-10          first token after 50 ms, then one every 10 ms
ref.role-first.cut-3        a role-only chunk at once, the connection cut after 3 tokens
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from .script import (
    Request,
    Script,
    Step,
    answer_ids,
    envelope,
    refusal,
    said,
    text_event,
    usage_event,
    well_behaved,
)

Behaviour = Callable[[Script, Request, int], Script]

_BEHAVIOURS: dict[str, Behaviour] = {}
_MS = 1_000_000


class UnknownBehaviourError(ValueError):
    """The model's name contains an unknown behaviour."""


def behaviour(word: str) -> Callable[[Behaviour], Behaviour]:
    def register(function: Behaviour) -> Behaviour:
        _BEHAVIOURS[word] = function
        return function

    return register


def script_for(request: Request) -> Script:
    """Build the script of a request. Raises :class:`UnknownBehaviourError`."""
    script = well_behaved(request)
    for word in request.model.split(".")[1:]:
        name, value = _parse(word)
        if name not in _BEHAVIOURS:
            known = ", ".join(sorted(_BEHAVIOURS))
            raise UnknownBehaviourError(f"behaviour {name!r} is unknown; known: {known}")
        script = _BEHAVIOURS[name](script, request, value)
    return script


def _parse(word: str) -> tuple[str, int]:
    match = re.fullmatch(r"(.+?)(?:-(\d+))?", word)
    assert match is not None, "matches every word that is not empty"
    return match[1], int(match[2] or 0)


def _is_token(step: Step) -> bool:
    return bool(step.ids)


def _until(script: Script, tokens: int) -> list[Step]:
    """The steps up to the one with the ``tokens``-th token."""
    steps: list[Step] = []
    sent = 0
    for step in script.steps:
        if sent >= tokens:
            break
        steps.append(step)
        sent += len(step.ids)
    return steps


@behaviour("ttft")
def _ttft(script: Script, _: Request, ms: int) -> Script:
    first, *rest = script.steps
    return replace(script, steps=[replace(first, after_ns=ms * _MS), *rest])


@behaviour("gap")
def _gap(script: Script, _: Request, ms: int) -> Script:
    first, *rest = script.steps
    paced = [replace(step, after_ns=ms * _MS) if _is_token(step) else step for step in rest]
    return replace(script, steps=[first, *paced])


@behaviour("headers-first")
def _headers_first(script: Script, _: Request, __: int) -> Script:
    """Send the head at once, like a server that opens the stream before it has loaded anything."""
    return replace(script, head_after_ns=0)


@behaviour("slow-headers")
def _slow_headers(script: Script, _: Request, ms: int) -> Script:
    return replace(script, head_after_ns=ms * _MS)


@behaviour("role-first")
def _role_first(script: Script, request: Request, _: int) -> Script:
    """Send a chunk with a role and no text at once, as in chat completions."""
    choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    return replace(script, steps=[Step(0, envelope(request, [choice])), *script.steps])


@behaviour("empty-chunks")
def _empty_chunks(script: Script, request: Request, _: int) -> Script:
    """Send a chunk without text at once, and one with every token."""
    empty = Step(0, envelope(request, [{"index": 0, **said(request, ""), "finish_reason": None}]))
    steps = [empty]
    for step in script.steps:
        steps += [step, empty] if _is_token(step) and step is not _last_token(script) else [step]
    return replace(script, steps=steps)


def _last_token(script: Script) -> Step | None:
    return next((step for step in reversed(script.steps) if _is_token(step)), None)


@behaviour("pings")
def _pings(script: Script, _: Request, __: int) -> Script:
    """Send a comment at once, and one with every piece."""
    ping = Step(0, b": ping")
    return replace(script, steps=[ping, *(part for step in script.steps for part in (step, ping))])


@behaviour("crlf")
def _crlf(script: Script, _: Request, __: int) -> Script:
    return replace(script, newline=b"\r\n")


@behaviour("split-utf8")
def _split_utf8(script: Script, _: Request, __: int) -> Script:
    return replace(script, split=True)


@behaviour("pack")
def _pack(script: Script, request: Request, size: int) -> Script:
    """Send ``size`` tokens per chunk, at the pace of one."""
    tokens = [step for step in script.steps if _is_token(step)]
    rest = [step for step in script.steps if not _is_token(step)]
    groups = [tokens[at : at + size] for at in range(0, len(tokens), size)]
    packed = []
    for number, group in enumerate(groups):
        ids = tuple(token for step in group for token in step.ids)
        finish = "length" if number == len(groups) - 1 else None
        packed.append(Step(group[0].after_ns, text_event(request, ids, finish), ids))
    return replace(script, steps=[*packed, *rest])


@behaviour("burst")
def _burst(script: Script, _: Request, size: int) -> Script:
    """Send ``size`` events per write."""
    first, *rest = script.steps
    bunched = [
        replace(step, after_ns=0) if index % size else step for index, step in enumerate(rest, 1)
    ]
    return replace(script, steps=[first, *bunched])


@behaviour("no-ids")
def _no_ids(script: Script, _: Request, __: int) -> Script:
    """Send text without token ids, as most servers do."""
    steps = []
    for step in script.steps:
        if _is_token(step) and not isinstance(step.content, bytes):
            choices = [
                {k: v for k, v in c.items() if k != "token_ids"} for c in step.content["choices"]
            ]
            step = replace(step, content={**step.content, "choices": choices})
        steps.append(step)
    return replace(script, steps=steps)


@behaviour("no-usage")
def _no_usage(script: Script, _: Request, __: int) -> Script:
    steps = [
        step
        for step in script.steps
        if isinstance(step.content, bytes) or "usage" not in step.content
    ]
    return replace(script, steps=steps)


@behaviour("short")
def _short(script: Script, request: Request, tokens: int) -> Script:
    """End after ``tokens`` tokens (0 is possible), fewer than requested."""
    ids = answer_ids(request)[:tokens]
    steps = _until(script, tokens) if tokens else []
    finish = Step(0 if tokens else script.steps[0].after_ns, text_event(request, [], "stop"))
    tail = [Step(0, usage_event(request, len(ids)))] if request.include_usage else []
    return replace(script, steps=[*steps, finish, *tail, script.steps[-1]])


@behaviour("error")
def _error(script: Script, _: Request, tokens: int) -> Script:
    """Send status 200, ``tokens`` tokens, then an error event and [DONE]."""
    error = {"error": {"message": "out of memory", "type": "server_error", "code": "500"}}
    steps = [*_until(script, tokens), Step(1 * _MS, error), script.steps[-1]]
    return replace(script, steps=steps)


@behaviour("cut")
def _cut(script: Script, _: Request, tokens: int) -> Script:
    """Reset the connection after ``tokens`` tokens; 0: before any byte."""
    return replace(script, steps=_until(script, tokens), ending="cut")


@behaviour("stall")
def _stall(script: Script, _: Request, tokens: int) -> Script:
    """Send nothing after ``tokens`` tokens, but leave the connection open."""
    return replace(script, steps=_until(script, tokens), ending="stall")


@behaviour("premature")
def _premature(script: Script, _: Request, tokens: int) -> Script:
    """End the response normally after ``tokens`` tokens, but without the end of the stream."""
    return replace(script, steps=_until(script, tokens))


@behaviour("busy")
def _busy(_: Script, __: Request, seconds: int) -> Script:
    return refusal(429, "too many requests", {"Retry-After": str(seconds)})


@behaviour("fail")
def _fail(_: Script, __: Request, status: int) -> Script:
    return refusal(status, "the model could not be loaded")
