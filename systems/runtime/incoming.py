"""What one end of a channel may receive: types of messages, and how long and with what."""

from __future__ import annotations

from typing import Any

import msgspec

from .messages import Message

MOST_OF_A_MESSAGE = 4 << 20
"""Bytes of the longest message of any channel."""
_MOST_OF_AN_ERROR = 200


class BadMessageError(ValueError):
    """A message that its sender may not send; the text says why, in one line."""


class Incoming:
    """``messages`` is a type of :class:`Message` or a union of them; with a message come at most
    ``descriptors``, and it has at most ``most_bytes``."""

    def __init__(self, messages: Any, *, descriptors: int = 0, most_bytes: int = 64 << 10) -> None:
        self.messages = messages
        self.descriptors = descriptors
        self.most_bytes = most_bytes
        self._decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(messages)

    def decode(self, data: bytes) -> Message:
        """Raise ``BadMessageError`` for what is none of these messages."""
        try:
            return self._decoder.decode(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadMessageError(_brief(error)) from error

    def convert(self, content: Any) -> Message:
        """Check a message that came as part of another one, as :func:`as_content` made it."""
        try:
            message: Message = msgspec.convert(content, self.messages)
        except (msgspec.ValidationError, RecursionError) as error:
            raise BadMessageError(_brief(error)) from error
        return message


def as_content(message: Message) -> dict[str, Any]:
    """A message as JSON values, to be sent inside another one."""
    content: dict[str, Any] = msgspec.to_builtins(message)
    return content


def _brief(error: Exception) -> str:
    """The error's text quotes the sender: printable, and cut off."""
    return ascii(str(error))[1:-1][:_MOST_OF_AN_ERROR]
