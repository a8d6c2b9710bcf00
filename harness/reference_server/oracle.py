"""Computes the expected client record from the schedule, the model's name and the server's log.

Shares no code with the client, and does not parse the bytes that were sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .script import text_of

_STATUS_BY_WORD: Mapping[str, str] = {
    "error": "error_event",
    "cut": "cut",
    "premature": "cut",
    "stall": "timeout",
    "busy": "http_429",
    "fail": "http_5xx",
}


@dataclass(frozen=True, slots=True)
class Expected:
    """``first_token_ns``, ``last_token_ns`` and ``token_ns`` (per token) are absolute send times;
    None or empty if the response has no text."""

    status: str
    output_tokens: int | None
    prompt_tokens: int | None
    text_sha256: str | None
    first_token_ns: int | None
    last_token_ns: int | None
    token_ns: tuple[int, ...]


def expect(model: str, prompt: Sequence[int], entry: Mapping[str, Any]) -> Expected:
    """Return the expected record; ``entry`` is the server's log of the request."""
    words = [word.rstrip("0123456789").rstrip("-") for word in model.split(".")[1:]]
    status = next((_STATUS_BY_WORD[word] for word in words if word in _STATUS_BY_WORD), "ok")
    sent = [(at, token) for at, ids in entry["sent"] for token in ids]
    if status.startswith("http"):
        sent = []
    counted = status == "ok" and "no-usage" not in words
    text = "".join(text_of(token) for _, token in sent)
    by_ids = len(sent) if sent and "no-ids" not in words else None
    return Expected(
        status=status,
        output_tokens=len(sent) if counted else by_ids,
        prompt_tokens=len(prompt) if counted else None,
        text_sha256=hashlib.sha256(text.encode()).hexdigest() if text else None,
        first_token_ns=sent[0][0] if sent else None,
        last_token_ns=sent[-1][0] if sent else None,
        token_ns=tuple(at for at, _ in sent),
    )
