"""The requests inside a simulated instance, and a batch whose prompts are being computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .passes import Part, Pass, next_padded_pass, next_pass


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

    @property
    def context(self) -> int:
        """The tokens whose keys and values are stored, while it decodes."""
        return self.prompt_tokens + self.output_tokens - self.left - 1


def adapters(work: Iterable[Work]) -> int:
    """Return the number of different adapters."""
    found = {each.adapter for each in work}
    return len(found) - (None in found)


class Piece(NamedTuple):
    """A part of the prompts of a batch: the requests that it belongs to and its passes."""

    requests: Sequence[Work]
    passes: Sequence[Pass]

    @property
    def tokens(self) -> int:
        """The tokens that are computed, with padding."""
        return sum(each.tokens for each in self.passes)


class Prefill:
    """The prompts of ``requests``, computed in order in one or more pieces, by an engine that
    ``pads`` or not. ``computed_ns``: how long they were computed until now."""

    __slots__ = ("_left", "_next", "_parts", "batch", "begun", "computed_ns", "requests")

    def __init__(self, batch: int, requests: list[Work], *, pads: bool = False) -> None:
        self.batch, self.requests, self.begun = batch, requests, False
        self.computed_ns = 0
        self._next = next_padded_pass if pads else next_pass
        self._left = deque(requests)
        self._parts = deque(Part(work.prompt_tokens) for work in requests)

    @property
    def complete(self) -> bool:
        return not self._parts

    def next_tokens(self, most: int | None) -> int:
        """Return the tokens that the next pass of up to ``most`` computes, with padding."""
        return self._next(deque(self._parts), most).tokens

    @property
    def whole(self) -> bool:
        """Whether nothing of the next prompt was computed yet."""
        return self._parts[0].whole

    def forget(self, request: int) -> None:
        """Drop ``request`` and what is left of its prompt. The piece that is computed goes on."""
        self.requests[:] = [work for work in self.requests if work.id != request]
        kept = [pair for pair in zip(self._left, self._parts, strict=True) if pair[0].id != request]
        self._left = deque(work for work, _ in kept)
        self._parts = deque(part for _, part in kept)

    def take(self, most: int | None) -> Piece:
        """Return the next piece: a pass of up to ``most`` tokens; None: all that is left."""
        self.begun = True
        requests, made = self._pass(most)
        passes = [made]
        while most is None and self._parts:
            more, made = self._pass(most)
            requests += more
            passes.append(made)
        return Piece(requests, passes)

    def _pass(self, most: int | None) -> tuple[list[Work], Pass]:
        made = self._next(self._parts, most)
        requests = [self._left.popleft() for _ in range(made.prompts)]
        if len(self._left) < len(self._parts):  # the last prompt goes on in the next pass
            self._left.appendleft(requests[-1])
        return requests, made
