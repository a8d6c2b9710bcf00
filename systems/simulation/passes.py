"""The passes in which an engine computes prompts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from systems.engine.cuda.buckets import (
    LONGEST_PIECE,
    TILE,
    TOGETHER,
    piece_bucket,
    prompt_bucket,
    tile_bucket,
    tiles_of,
)


class Part(NamedTuple):
    """The tokens of a prompt that are left to compute. ``whole``: all of them."""

    tokens: int
    whole: bool = True


class Pass(NamedTuple):
    """A pass over ``prompts`` prompts, or a part of the last. ``tokens``: what the engine computes,
    with padding; an engine without padding computes what is there."""

    prompts: int
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
    return Pass(prompts, tokens)


def next_padded_pass(left: deque[Part], most: int | None) -> Pass:
    """Remove the next pass from ``left``, as ``engine/cuda/prompts.py`` forms it: whole prompts in
    tiles, or a part of a long prompt. ``most`` tokens in tiles; None: as many as fill a GPU."""
    room = TOGETHER if most is None else piece_bucket(most)
    longest = min(room, LONGEST_PIECE)
    first = left.popleft()
    if first.whole and first.tokens <= longest:
        return _ragged(first, left, longest, room)
    tokens = min(first.tokens, longest)
    if tokens < first.tokens:
        left.appendleft(Part(first.tokens - tokens, whole=False))
    return Pass(1, prompt_bucket(tokens))


def _ragged(first: Part, left: deque[Part], longest: int, room: int) -> Pass:
    """Remove the next of ``left`` that one pass computes after ``first``: prompts of up to
    ``longest`` tokens, all in tiles of up to ``room``."""
    prompts, tiles = 1, tiles_of(first.tokens)
    while left and left[0].tokens <= longest:  # whole: only the first of all may be a rest
        more = tiles + tiles_of(left[0].tokens)
        if more * TILE > room:
            break
        left.popleft()
        prompts, tiles = prompts + 1, more
    return Pass(prompts, tile_bucket(tiles) * TILE)


def passes(lengths: Iterable[int], *, pads: bool) -> list[Pass]:
    """Return the passes of whole prompts of these lengths, of an engine that ``pads`` or not."""
    left, take = deque(map(Part, lengths)), next_padded_pass if pads else next_pass
    found = []
    while left:
        found.append(take(left, None))
    return found
