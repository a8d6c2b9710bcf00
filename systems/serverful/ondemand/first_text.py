"""Finds the first text in a stream of server-sent events, for the time of the first token."""

from __future__ import annotations

import json
from typing import Any

DONE = b"data: [DONE]"


class FirstText:
    """Reads a stream until its first text; then it stops looking."""

    def __init__(self) -> None:
        self._rest = b""
        self.seen = False

    def feed(self, chunk: bytes) -> bool:
        """Return whether text has arrived so far. An empty or role-only event is no text."""
        if not self.seen:
            *events, self._rest = (self._rest + chunk).replace(b"\r\n", b"\n").split(b"\n\n")
            self.seen = any(map(_has_text, events))
        return self.seen


def _has_text(event: bytes) -> bool:
    try:
        content: Any = json.loads(event.removeprefix(b"data:"))
        (choice,) = content["choices"]
        return bool(choice.get("text") or (choice.get("delta") or {}).get("content"))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False  # No piece of a completion: an error, or another server's.
