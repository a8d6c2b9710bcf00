"""Converts a request's body to the token ids of its prompt; rejects prompts that cannot fit.

Bounds are checked before expensive work: first bytes and characters, then tokens.
"""

from __future__ import annotations

from collections.abc import Mapping

from .offloop import OffLoop
from .refusal import RefusalError
from .schema import ChatRequest, CompletionRequest
from .text import Text

_ESCAPE_BYTES = 6
"""Longest JSON encoding of a character: ``\\u0041``."""
_OTHER_BYTES = 64 << 10
"""For all other fields of a body."""
_MOST_BYTES = 8 << 20
_OTHER_VALUES = 16 << 10
"""For those of a body that are no token ids: most are in messages, which have a few each."""
_MESSAGE_CHARACTERS = 16
"""Characters of text that take as long as the template needs for one empty message."""


class Prompts:
    """``texts``: by backbone. A text prompt may have at most as many characters as ``context`` of
    the longest tokens."""

    def __init__(self, texts: Mapping[str, Text], context: int) -> None:
        self._texts = texts
        self._context = context
        self._off_loop = OffLoop()

    @property
    def body_bytes(self) -> int:
        """An upper bound on the body of any prompt that fits."""
        longest = max((text.longest for text in self._texts.values()), default=0)
        return min(_MOST_BYTES, _OTHER_BYTES + _ESCAPE_BYTES * self._context * longest)

    @property
    def body_values(self) -> int:
        """An upper bound on the JSON values of the body of any prompt that fits."""
        return self._context + _OTHER_VALUES

    async def of_completion(self, body: CompletionRequest, text: Text) -> list[int]:
        """Raise ``RefusalError`` if it is too long or has ids outside the vocabulary."""
        prompt = body.prompt
        if isinstance(prompt, str):
            self._check_characters(len(prompt), text, "prompt")
            ids = await self._off_loop.run(len(prompt), lambda: text.encode(prompt))
        else:
            ids = prompt
        return self._checked(ids, body.limit, text)

    async def of_chat(self, body: ChatRequest, text: Text) -> list[int]:
        """Raise ``RefusalError`` if it is too long or the model's template rejects it."""
        messages = [{"role": each.role, "content": each.content} for each in body.messages]
        characters = sum(len(each.role) + len(each.content) for each in body.messages)
        self._check_characters(characters, text, "messages")
        try:
            work = characters + _MESSAGE_CHARACTERS * len(messages)
            ids = await self._off_loop.run(work, lambda: text.chat(messages))
        except ValueError as error:
            raise RefusalError(400, str(error), "invalid_messages", "messages") from error
        return self._checked(ids, body.limit, text)

    def _check_characters(self, characters: int, text: Text, param: str) -> None:
        most = self._context * text.longest
        if characters > most:
            message = (
                f"{param}: {characters} characters; at most {most} can fit into the context of"
                f" {self._context} tokens"
            )
            raise RefusalError(400, message, "context_length_exceeded", param)

    def _checked(self, ids: list[int], max_tokens: int, text: Text) -> list[int]:
        if not ids:
            raise RefusalError(400, "the prompt is empty", "invalid_prompt", "prompt")
        if len(ids) + max_tokens > self._context:
            message = (
                f"{len(ids)} prompt tokens and max_tokens={max_tokens} exceed the context of"
                f" {self._context} tokens"
            )
            raise RefusalError(400, message, "context_length_exceeded", "max_tokens")
        if max(ids) >= text.vocabulary:
            message = f"token id {max(ids)} is outside the vocabulary of {text.vocabulary}"
            raise RefusalError(400, message, "invalid_prompt", "prompt")
        return ids
