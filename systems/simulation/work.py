"""The requests inside a simulated instance, and a batch whose prompts are being computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Work:
    """A request inside an instance; times are filled in during the simulation. ``adapter``: None
    for the backbone alone."""

    id: int
    prompt_tokens: int
    output_tokens: int
    left: int = 0
    prefill_ns: int = 0
    first_ns: int = 0
    last_ns: int = 0
    adapter: str | None = None


def adapters(work: Iterable[Work]) -> int:
    """Return the number of different adapters."""
    return len({each.adapter for each in work} - {None})


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the prompts of a batch: the requests that it belongs to and its tokens."""

    requests: Sequence[Work]
    tokens: int


class Prefill:
    """The prompts of ``requests``, computed in order, in one or more pieces."""

    __slots__ = ("_left", "batch", "begun", "requests")

    def __init__(self, batch: int, requests: list[Work]) -> None:
        self.batch, self.requests, self.begun = batch, requests, False
        self._left = deque((work, work.prompt_tokens) for work in requests)

    @property
    def complete(self) -> bool:
        return not self._left

    def take(self, most: int | None) -> Piece:
        """Return the next piece, of up to ``most`` tokens; None: all that is left."""
        self.begun = True
        if most is None:
            piece = Piece([work for work, _ in self._left], sum(tokens for _, tokens in self._left))
            self._left.clear()
            return piece
        requests: list[Work] = []
        room = most
        while self._left and room:
            work, tokens = self._left.popleft()
            requests.append(work)
            if tokens > room:
                self._left.appendleft((work, tokens - room))
            room -= min(tokens, room)
        return Piece(requests, most - room)
