"""The parsing of one adapter, as the node sees it: a process, its memory file and its result."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

from systems.runtime.children import GRACE_S, Child, kill, why
from systems.runtime.incoming import BadMessageError
from systems.runtime.messages import Failed, Message
from systems.runtime.processes import OnExit, OnMessage

from . import memory_file
from .messages import ParseAdapter

MOST_S = 300.0
"""Seconds after which a parser is ended, however busy it is: others may wait for it. A fork takes
less than a second; a new interpreter on a busy machine takes minutes to import its libraries."""

Start = Callable[[OnMessage, OnExit], Child]
"""Starts a parser; calls back with its messages and its exit status."""
OnParsed = Callable[[int], None]
OnFailed = Callable[[str], None]


class Parsing:
    """Starts a parser on ``request``. When it has ended, calls ``on_parsed`` with the descriptor of
    a sealed memory file, which then belongs to the callee, or ``on_failed`` with the reason. Raise
    ``OSError`` if no process or memory file can be made."""

    def __init__(
        self, request: ParseAdapter, start: Start, on_parsed: OnParsed, on_failed: OnFailed
    ) -> None:
        self.nbytes = request.nbytes
        self.began_s = time.monotonic()
        self._on_parsed, self._on_failed = on_parsed, on_failed
        self._result: Message | None = None
        self._cancelled = False
        self._fd = memory_file.create(request.nbytes)
        try:
            self.child = start(self._says, self._ended)
        except OSError:
            os.close(self._fd)
            raise
        self.child.heartbeat.answers = False
        self._end_after(MOST_S, f"it was not done after {MOST_S:g} s")
        self.child.channel.send(request, [self._fd])

    def cancel(self) -> None:
        """End the parser and close the memory file; call back no more."""
        self._cancelled = True
        os.close(self._fd)
        kill(self.child)

    def _says(self, message: Message, fds: list[int]) -> None:  # noqa: ARG002
        if self._result is not None:
            raise BadMessageError("a second result")
        self._result = message
        self._timer.cancel()
        self._end_after(GRACE_S, "it did not end after its result")

    def _end_after(self, delay_s: float, verdict: str) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._give_up, verdict)

    def _give_up(self, verdict: str) -> None:
        self.child.verdict = self.child.verdict or verdict
        kill(self.child)

    def _ended(self, returncode: int | None) -> None:
        self._timer.cancel()
        if self._cancelled:
            return
        reason = self._reason(returncode) or self._seal()
        if reason:
            os.close(self._fd)
            self._on_failed(reason)
        else:
            self._on_parsed(self._fd)

    def _reason(self, returncode: int | None) -> str:
        """Return why there is no result; empty if there is one."""
        if isinstance(self._result, Failed):
            return self._result.reason
        if self.child.verdict or returncode != 0 or self._result is None:
            return f"its parser: {self.child.verdict or why(returncode)}"
        return ""

    def _seal(self) -> str:
        """Seal the memory file; return why that is impossible, or nothing."""
        try:
            memory_file.seal(self._fd)
        except OSError as error:
            return f"its parser left a memory file that cannot be sealed: {error.strerror}"
        return ""
