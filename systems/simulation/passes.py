"""The passes in which an engine computes prompts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from systems.engine.cuda.buckets import LONGEST_PIECE, TOGETHER, batch_bucket, prompt_bucket


class Part(NamedTuple):
    """The tokens of a prompt that are left to compute. ``whole``: all of them."""

    tokens: int
    whole: bool = True


class Pass(NamedTuple):
    """A pass over ``prompts`` prompts, or a part of the last. ``rows`` and ``tokens`` are what the
    engine computes, with padding; an engine without padding computes what is there."""

    prompts: int
    rows: int
    tokens: int


def next_pass(left: deque[Part], most: int | None) -> Pass:
    """Remove the next pass from ``left``: up to ``most`` tokens, across prompts; None: all."""
    prompts, tokens = 0, 0
    while left and (most is None or tokens < most):
        part = left.popleft()
        prompts += 1
        room = part.tokens if most is None else most - tokens
        if part.tokens > room:
            left.appendleft(Part(part.tokens - room, whole=False))
        tokens += min(part.tokens, room)
    return Pass(prompts, prompts, tokens)


def next_padded_pass(left: deque[Part], most: int | None) -> Pass:
    """Remove the next pass from ``left``, as ``engine/cuda/prompts.py`` forms it: whole prompts,
    padded to one length and a number of rows, or a part of a long prompt. ``most`` tokens, padding
    included; None: as many as fill a GPU."""
    room = TOGETHER if most is None else most
    first, longest = left.popleft(), min(room, LONGEST_PIECE)
    if first.tokens > longest:
        left.appendleft(Part(first.tokens - longest, whole=False))
        return Pass(1, 1, prompt_bucket(longest))
    prompts, length = 1, prompt_bucket(first.tokens)
    while first.whole and left and left[0].whole:
        wider = max(length, prompt_bucket(left[0].tokens))
        if batch_bucket(prompts + 1) * wider > room:
            break
        left.popleft()
        prompts, length = prompts + 1, wider
    rows = batch_bucket(prompts)
    return Pass(prompts, rows, rows * length)


def passes(lengths: Iterable[int], *, pads: bool) -> list[Pass]:
    """Return the passes of whole prompts of these lengths, of an engine that ``pads`` or not; one
    that does sorts them by padded length."""
    ordered = sorted(lengths, key=prompt_bucket) if pads else lengths
    left, take = deque(map(Part, ordered)), next_padded_pass if pads else next_pass
    found = []
    while left:
        found.append(take(left, None))
    return found
