"""What ``slbench serve`` prints once the endpoint answers."""

from __future__ import annotations

import json
from typing import Any


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
