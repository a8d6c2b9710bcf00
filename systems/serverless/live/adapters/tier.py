"""The host tier of a node's adapters: packed, in sealed memory files.

Each adapter is parsed once, ahead of its first use or at it, by a process of its own
(:mod:`.parser`). All uses get the same memory file, from which an instance copies it into a place.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from systems.runtime.children import Child

from ...options import MOST_PARSERS
from .messages import ParseAdapter
from .parsing import OnFailed, Parsing, Start

REST = 9.0
"""An adapter whose parser failed is parsed again after this many times what that took. So it uses
at most a tenth of one parser's time, however often it is called."""
_MOST_OF_A_REASON = 500

OnReady = Callable[[int, int], None]
"""Takes the descriptor of a sealed memory file and its size in bytes."""


@dataclass(frozen=True, slots=True)
class _Packed:
    fd: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class _Failure:
    line: str
    until_s: float
    """On the monotonic clock: when the adapter is parsed again."""


class AdapterTier:
    """Keeps up to ``limit_bytes`` of packed adapters, least recently used out first; those being
    parsed are not counted. ``request`` returns what a parser of a function's adapter is told;
    ``start`` starts a parser; ``on_resized`` is called with ``nbytes`` when it has changed."""

    def __init__(
        self,
        request: Callable[[str], ParseAdapter],
        start: Start,
        limit_bytes: int,
        on_resized: Callable[[int], None] = lambda nbytes: None,  # noqa: ARG005
    ) -> None:
        self._request, self._start, self._limit_bytes = request, start, limit_bytes
        self._on_resized, self._told_bytes = on_resized, 0
        self._packed: OrderedDict[str, _Packed] = OrderedDict()
        self._parsing: dict[str, Parsing] = {}
        self._failures: dict[str, _Failure] = {}
        self._wanted: dict[str, None] = {}
        self._ahead: dict[str, None] = {}
        """Queues of functions whose adapters are to be parsed: at first those that are wanted."""
        self._waiting: dict[str, list[tuple[OnReady, OnFailed]]] = {}

    @property
    def adapters(self) -> int:
        """The number of adapters that are held."""
        return len(self._packed)

    @property
    def nbytes(self) -> int:
        """The host memory of adapters that are held or being parsed."""
        return self._packed_bytes + sum(each.nbytes for each in self._parsing.values())

    @property
    def children(self) -> list[Child]:
        """Parsers, which must give signs of life."""
        return [each.child for each in self._parsing.values()]

    def get(self, function: str, on_ready: OnReady, on_failed: OnFailed) -> None:
        """Call ``on_ready`` with the adapter of ``function``, at once if it is held, else when it
        is parsed; or ``on_failed`` with a line that names the function, at once if it failed a
        short time ago. The descriptor is valid during the call only: send it or duplicate it
        there."""
        held, failure = self._packed.get(function), self._recent_failure(function)
        if held is not None:
            self._packed.move_to_end(function)
            on_ready(held.fd, held.nbytes)
        elif failure is not None:
            on_failed(failure.line)
        else:
            self._waiting.setdefault(function, []).append((on_ready, on_failed))
            self._want(function)

    def prepare(self, function: str) -> None:
        """Parse the adapter of ``function`` ahead of its use, unless it is held or failed a short
        time ago. Those that are used, or prepared again, are parsed before all others. A failure
        is told at the first use."""
        if function in self._packed:
            self._packed.move_to_end(function)
        elif self._recent_failure(function) is not None:
            return
        elif function in self._ahead:
            self._want(function)
        elif function not in self._parsing and function not in self._wanted:
            self._ahead[function] = None
            self._start_parsers()

    def _recent_failure(self, function: str) -> _Failure | None:
        """Return the failure after which the adapter is not parsed yet."""
        failure = self._failures.get(function)
        return failure if failure is not None and time.monotonic() < failure.until_s else None

    def _want(self, function: str) -> None:
        self._ahead.pop(function, None)
        if function not in self._parsing:
            self._wanted[function] = None
            self._start_parsers()

    def close(self) -> None:
        """End all parsers and close all descriptors; call nobody back."""
        self._wanted.clear()
        self._ahead.clear()
        self._waiting.clear()
        for parsing in self._parsing.values():
            parsing.cancel()
        self._parsing.clear()
        self._limit_bytes = 0
        self._evict()

    def _start_parsers(self) -> None:
        while (queue := self._wanted or self._ahead) and len(self._parsing) < MOST_PARSERS:
            function = next(iter(queue))
            del queue[function]
            on_parsed = partial(self._parsed, function)
            on_failed = partial(self._failed, function)
            try:
                parsing = Parsing(self._request(function), self._start, on_parsed, on_failed)
            except OSError as error:
                self._tell_failed(function, unusable(function, f"no parser starts: {error}"))
            else:
                self._parsing[function] = parsing
        self._tell_size()

    def _parsed(self, function: str, fd: int) -> None:
        packed = _Packed(fd, self._parsing.pop(function).nbytes)
        self._packed[function] = packed
        self._failures.pop(function, None)
        for on_ready, _ in self._waiting.pop(function, ()):
            on_ready(packed.fd, packed.nbytes)
        self._evict()
        self._start_parsers()

    def _failed(self, function: str, reason: str) -> None:
        now_s, line = time.monotonic(), unusable(function, reason)
        took_s = now_s - self._parsing.pop(function).began_s
        self._failures[function] = _Failure(line, now_s + REST * took_s)
        self._tell_failed(function, line)
        self._start_parsers()

    def _tell_failed(self, function: str, line: str) -> None:
        for _, on_failed in self._waiting.pop(function, ()):
            on_failed(line)

    def _tell_size(self) -> None:
        if self.nbytes != self._told_bytes:
            self._told_bytes = self.nbytes
            self._on_resized(self._told_bytes)

    def _evict(self) -> None:
        while self._packed and self._packed_bytes > self._limit_bytes:
            _, packed = self._packed.popitem(last=False)
            os.close(packed.fd)

    @property
    def _packed_bytes(self) -> int:
        return sum(each.nbytes for each in self._packed.values())


def unusable(function: str, reason: str) -> str:
    """Return the line that its callers receive. Only what is printable of ``reason`` is in it,
    shortened: the process that gave it may have been taken over."""
    words = "".join(each if each.isprintable() else " " for each in reason).split()
    return f"{function}: its adapter cannot be used: {' '.join(words)[:_MOST_OF_A_REASON]}"
