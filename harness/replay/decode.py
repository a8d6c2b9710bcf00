"""Decodes captured bytes and arrival times into a request's record (measurement rules 6-8).

Runs afterwards, in the Locust process, so it cannot delay a timestamp.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json

from systems.runtime.links.message import one_line

from .frames import Captured, Ending
from .records import Record
from .sse import Event, EventParser

_MOST_TOKENS = 2**31 - 1
"""The records have 32 bits for a number of tokens."""


@dataclass(slots=True)
class Answer:
    """The content of an event stream. Times are the arrival of a piece's last byte."""

    text_ns: list[int] = field(default_factory=list)
    """Arrival time of every piece with text."""
    text_tokens: list[int] | None = field(default_factory=list)
    """Number of token ids in each piece with text; None if a piece has no ids."""
    usage: dict[str, Any] | None = None
    error: str | None = None
    done: bool = False
    events: int = 0
    _digest: Any = field(default_factory=hashlib.sha256)

    def take(self, event: Event, at_ns: int) -> None:
        self.events += 1
        if event.data == b"[DONE]":
            self.done = True
            return
        try:
            content = from_json(event.data)
        except ValueError:
            self.error = self.error or f"an event is not JSON: {_one_line(event.data)}"
            return
        if not isinstance(content, dict):
            self.error = self.error or f"an event is not an object: {_one_line(event.data)}"
        elif content.get("error") or event.type == b"error":
            self.error = self.error or _message(content)
        else:
            self._take_object(content, event.data, at_ns)

    def _take_object(self, content: dict[str, Any], data: bytes, at_ns: int) -> None:
        try:
            self._take_piece(content, at_ns)
        except (AttributeError, TypeError):  # A number where an object or a text belongs, …
            self.error = self.error or f"an event is no piece of a completion: {_one_line(data)}"

    def _take_piece(self, content: dict[str, Any], at_ns: int) -> None:
        if usage := content.get("usage"):
            self.usage = {**usage}
        for choice in content.get("choices") or ():
            text = _text(choice)
            ids = choice.get("token_ids")
            if choice.get("finish_reason"):
                self.done = True
            if text:
                self._digest.update(text.encode())
                self.text_ns.append(at_ns)
                if ids is None:
                    self.text_tokens = None
                elif self.text_tokens is not None:
                    self.text_tokens.append(len(ids))

    def count(self, name: str) -> int | None:
        """Return a count of the usage record; None if the server sent none that can be one."""
        value = (self.usage or {}).get(name)
        return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None

    @property
    def output_tokens(self) -> int | None:
        """From the usage record, or else from token ids. Never the number of chunks."""
        counted = self.count("completion_tokens")
        if counted is None and self.text_tokens:
            return sum(self.text_tokens)
        return counted

    @property
    def gaps_ns(self) -> list[int] | None:
        """Times between successive tokens; tokens of one piece are 0 apart. None if the number of
        tokens per piece is unknown."""
        tokens = self.text_tokens
        if tokens is None and self.output_tokens == len(self.text_ns):
            tokens = [1] * len(self.text_ns)
        if not tokens or sum(tokens) != self.output_tokens:
            return None
        gaps: list[int] = []
        for at, before, count in zip(self.text_ns[1:], self.text_ns[:-1], tokens[1:], strict=True):
            gaps += [at - before] + [0] * (count - 1)
        return [0] * (tokens[0] - 1) + gaps

    @property
    def text_sha256(self) -> str | None:
        return self._digest.hexdigest() if self.text_ns else None


def decode(captured: Captured, start_ns: int) -> Record:
    """Decode one exchange; times are relative to ``start_ns``."""
    answer = _read(captured) if captured.http_status == 200 else Answer()
    status, error = _verdict(captured, answer)
    sent = captured.ending != Ending.UNSENT

    def relative(at_ns: int) -> int | None:
        return at_ns - start_ns if at_ns and sent else None

    return Record(
        row=captured.row,
        sent_ns=relative(captured.sent_ns),
        connect_ns=captured.connect_ns if sent else None,
        first_byte_ns=relative(captured.first_byte_ns),
        first_token_ns=relative(answer.text_ns[0]) if answer.text_ns else None,
        last_token_ns=relative(answer.text_ns[-1]) if answer.text_ns else None,
        end_ns=relative(captured.end_ns),
        prompt_tokens=answer.count("prompt_tokens"),
        output_tokens=answer.output_tokens,
        status=status,
        error=error,
        http_status=captured.http_status or None,
        text_sha256=answer.text_sha256,
        itl_ns=answer.gaps_ns,
        events=answer.events,
        due_ns=captured.due_ns - start_ns if captured.due_ns else None,
    )


def _read(captured: Captured) -> Answer:
    answer, parser = Answer(), EventParser()
    for chunk, at_ns in zip(captured.chunks, captured.times, strict=True):
        for event in parser.feed(chunk):
            answer.take(event, at_ns)
    return answer


def _verdict(captured: Captured, answer: Answer) -> tuple[str, str | None]:
    """Return status and error. The server's error takes precedence over the connection's end."""
    if captured.ending == Ending.UNSENT:
        return "unsent", captured.error
    if captured.http_status not in (0, 200):
        return _refusal(captured)
    if answer.error:
        return "error_event", answer.error
    if captured.ending == Ending.TIMEOUT:
        return "timeout", captured.error
    if captured.ending == Ending.CUT:
        return "cut", captured.error
    return _complete(captured, answer)


def _complete(captured: Captured, answer: Answer) -> tuple[str, str | None]:
    body = b"".join(captured.chunks)
    if body.strip() and not answer.events:
        return "error_event", f"no event stream: {_one_line(body)}"
    if not answer.done:
        return "cut", "the stream ended before a finish reason or [DONE]"
    if not answer.text_ns:
        return "ok", "empty completion"
    return "ok", None


def _refusal(captured: Captured) -> tuple[str, str]:
    code = captured.http_status
    status = "http_429" if code == 429 else f"http_{code // 100}xx"
    body = b"".join(captured.chunks)
    try:
        content = from_json(body)
        reason = _message(content) if isinstance(content, dict) else _one_line(body)
    except ValueError:
        reason = _one_line(body)
    wait = f" (Retry-After: {captured.retry_after})" if captured.retry_after else ""
    return status, f"HTTP {code}{wait}: {reason}"


def _text(choice: dict[str, Any]) -> str:
    """Return the text of a completion or chat chunk; empty for a role-only or empty chunk. What a
    model reasons before its answer is text: its tokens are counted too."""
    text = choice.get("text")
    if text is not None:
        return text or ""
    delta = choice.get("delta") or {}
    # Named differently by servers; some send it under both names.
    reasoning = delta.get("reasoning_content") or delta.get("reasoning") or ""
    return reasoning + (delta.get("content") or "")


def _message(content: dict[str, Any]) -> str:
    error = content.get("error", content)
    text = error.get("message") if isinstance(error, dict) else error
    return _one_line(str(text or error).encode())


def _one_line(text: bytes, limit: int = 200) -> str:
    return one_line(text.decode("utf-8", "replace"))[:limit]
