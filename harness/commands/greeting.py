"""What ``slbench serve`` prints once the endpoint answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from systems.interface import Endpoint

    from .served import Served

_MOST_GROUPS = 4


def document(endpoint: Endpoint, served: Served) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    level = None if served.groups is None else served.deployment.isolation
    told = {"base_url": endpoint.base_url, "models": endpoint.models}
    return {**told, "isolation": level, "groups": served.groups}


def lines(endpoint: Endpoint, served: Served, asked: bool) -> str:
    """Return which functions share instances, if the system has isolation levels, and the
    greeting. ``asked``: whether callers need a token."""
    told = greeting(endpoint.base_url, endpoint.models, asked, served.skilled)
    if served.groups is None:
        return told
    return f"{grouped(served.deployment.isolation, served.groups)}\n{told}"


def greeting(url: str, models: tuple[str, ...], asked: bool, skilled: str | None) -> str:
    """Return the address and a command that sends a request. ``asked``: whether callers need a
    token; ``skilled``: a function that has the first skill, or None."""
    token = " -H 'Authorization: Bearer …'" if asked else ""
    path, body, answer = _question(skilled) if skilled else _hello(models[-1])
    return (
        f"answering at {url}/v1 as {', '.join(models)}\n"
        f"  curl {url}/v1/{path} -H 'Content-Type: application/json'{token}"
        f" -d '{json.dumps(body, ensure_ascii=False)}'{answer}\n"
        "Ctrl-C stops it"
    )


def _question(function: str) -> tuple[str, dict[str, Any], str]:
    """Return path, body and right answer of a question for the first skill."""
    from systems.models.skills import skills

    question = next(iter(skills().values())).example
    body = {"model": function, "prompt": question.prompt, "temperature": 0, "max_tokens": 24}
    return "completions", body, f"   # right: {question.answer}"


def _hello(model: str) -> tuple[str, dict[str, Any], str]:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    return "chat/completions", body, ""


def grouped(level: str, groups: Mapping[str, tuple[str, ...]]) -> str:
    """Describe in one line which functions share instances."""
    shared = [f"{id_} ({len(each)} functions)" for id_, each in groups.items() if len(each) > 1]
    if not shared:
        return f"isolation level {level}: no two functions share an instance"
    more = f" and {len(shared) - _MOST_GROUPS} more" if len(shared) > _MOST_GROUPS else ""
    alone = len(groups) - len(shared)
    others = f"; functions that share with no other: {alone}" if alone else ""
    named = ", ".join(shared[:_MOST_GROUPS])
    return f"isolation level {level}: instances are shared within {named}{more}{others}"
