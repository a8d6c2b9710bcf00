"""The messages that one end of a channel may receive: types, length and descriptors."""

from __future__ import annotations

from typing import Any

import msgspec

from .messages import Message

MOST_OF_A_MESSAGE = 4 << 20
"""Bytes of the longest message of any channel."""
_MOST_OF_AN_ERROR = 200


class BadMessageError(ValueError):
    """A message that its sender must not send; the text gives the reason in one line."""


class Incoming:
    """``messages`` is a subclass of :class:`Message` or a union of them. A message has at most
    ``descriptors`` file descriptors and ``most_bytes`` bytes."""

    def __init__(self, messages: Any, *, descriptors: int = 0, most_bytes: int = 64 << 10) -> None:
        self.messages = messages
        self.descriptors = descriptors
        self.most_bytes = most_bytes
        self._decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(messages)

    def decode(self, data: bytes) -> Message:
        """Decode JSON. Raise ``BadMessageError`` if it is none of these messages."""
        try:
            return self._decoder.decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise BadMessageError(_brief(error)) from error


def _brief(error: Exception) -> str:
    """Return the error's text in printable characters and shortened, since it quotes the sender."""
    return ascii(str(error))[1:-1][:_MOST_OF_AN_ERROR]
