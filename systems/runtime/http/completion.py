"""Builds a response: token ids to text, stop strings, and the two formats of completion objects."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from systems.runtime.calls import Tokens

from .text import Decoder

_MARK = "\0"
_ENCODED_MARK = json.dumps(_MARK).encode()


class Shape(Protocol):
    """The format of a kind of completion, whole and streamed."""

    object: str
    chunk_object: str
    prefix: str

    def choice(self, text: str, finished: str | None) -> Any: ...

    def piece(self, text: str, finished: str | None, first: bool) -> Any: ...


class CompletionShape:
    object = "text_completion"
    chunk_object = "text_completion"
    prefix = "cmpl"

    def choice(self, text: str, finished: str | None) -> Any:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": finished}

    def piece(self, text: str, finished: str | None, first: bool) -> Any:  # noqa: ARG002
        return self.choice(text, finished)


class ChatShape:
    object = "chat.completion"
    chunk_object = "chat.completion.chunk"
    prefix = "chatcmpl"

    def choice(self, text: str, finished: str | None) -> Any:
        message = {"role": "assistant", "content": text}
        return {"index": 0, "message": message, "logprobs": None, "finish_reason": finished}

    def piece(self, text: str, finished: str | None, first: bool) -> Any:
        delta = {"role": "assistant", "content": text} if first else {"content": text}
        return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finished}


@dataclass(slots=True)
class Answer:
    """The text of one request, extended as its tokens arrive."""

    shape: Shape
    id: str
    model: str
    decoder: Decoder
    stops: list[str]
    prompt_tokens: int
    created: int = field(default_factory=lambda: int(time.time()))
    text: str = ""
    tokens: int = 0
    finished: str | None = None
    _sent: int = 0
    """Number of characters sent."""
    _around: tuple[bytes, bytes] | None = None
    """What comes before and after the text in an event; None: not encoded yet."""

    def take(self, tokens: Tokens) -> None:
        """Append a step's tokens; set ``finished`` at the last token or at a stop string."""
        before = len(self.text)
        for token in tokens.ids:
            self.tokens += 1
            self.text += self.decoder.text(token)
        self.finished = tokens.finished
        cut = self._cut(before) if self.stops else None
        if cut is not None:
            self.text, self.finished = self.text[:cut], "stop"

    def _cut(self, before: int) -> int | None:
        """Find where the first stop string begins; none ends in the first ``before`` characters."""
        found = [self.text.find(stop, max(0, before - len(stop) + 1)) for stop in self.stops]
        return min((at for at in found if at >= 0), default=None)

    def chunk(self) -> bytes | None:
        """Return the event for new text, or None if there is none. Holds back text that may be the
        beginning of a stop string."""
        whole = self.finished or not self.stops
        upto = len(self.text) if whole else len(self.text) - self._held_back()
        new = self.text[self._sent : upto]
        if not new and not self.finished:
            return None
        first, self._sent = self._sent == 0, upto
        if first or self.finished:
            return self._event(new, first=first)
        return self._between(new)

    def _event(self, text: str, *, first: bool) -> bytes:
        piece = self.shape.piece(text, self.finished, first)
        return event(self._object(self.shape.chunk_object, [piece]))

    def _between(self, text: str) -> bytes:
        """Return the event of a chunk that is neither first nor last. They differ in their text
        alone, so what is around it is encoded once: a gateway sends ten thousand a second."""
        if self._around is None:
            before, _, after = self._event(_MARK, first=False).rpartition(_ENCODED_MARK)
            self._around = before, after
        return json.dumps(text).encode().join(self._around)

    def _held_back(self) -> int:
        longest = max((len(stop) for stop in self.stops), default=1) - 1
        tails = range(min(longest, len(self.text)), 0, -1)
        return next((n for n in tails if any(s.startswith(self.text[-n:]) for s in self.stops)), 0)

    def usage_chunk(self) -> bytes:
        return event({**self._object(self.shape.chunk_object, []), "usage": self._usage()})

    def whole(self) -> Any:
        choice = self.shape.choice(self.text, self.finished)
        return {**self._object(self.shape.object, [choice]), "usage": self._usage()}

    def _usage(self) -> Any:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.tokens,
            "total_tokens": self.prompt_tokens + self.tokens,
        }

    def _object(self, kind: str, choices: list[Any]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }


def event(content: Any) -> bytes:
    """Encode one server-sent event."""
    return b"data: " + json.dumps(content, separators=(",", ":")).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
