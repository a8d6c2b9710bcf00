"""Passes over prompts, in the few shapes that an engine prepares.

A pass computes either the first pieces of one or several prompts, each in tiles of its own, so that
little is padded, or one later piece of a long prompt, padded to one of a few lengths. A later piece
attends to the first ``context`` cached tokens of its slot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from systems.engine.pieces import Piece

from .buckets import (
    LONGEST_PIECE,
    SHORT_PROMPTS,
    TILE,
    TILES,
    TOGETHER,
    context_bucket,
    context_buckets,
    prompt_bucket,
    tile_bucket,
    tile_buckets,
    tiles_of,
)
from .forward import DeviceForward
from .graphs import Capture, Outputs, Step, with_tokens

# Rows of a pass's input tensor. Only the first numbers of the last three count: the adapter of each
# tile, the row of each piece's last token, and the rows at which pieces and parts of padding begin.
IDS, POSITIONS, SLOTS, ADAPTERS, LAST, BOUNDS = range(6)
PADDING = -1  # the position of a padding row
Numbers = list[int] | None
PATIENCE = 20
"""Passes: how many more, over one prompt each, take about as long as the first run of a shape,
which loads kernels (a 7B model on an H200)."""


@dataclass(frozen=True, slots=True)
class PromptShape:
    """``length``: tokens, padding included, a multiple of ``TILE``; ``context``: cached tokens that
    a later piece attends to; 0: pieces are the first of their prompts, which attend to themselves
    only; ``adapted``: at least one has an adapter."""

    length: int
    context: int
    adapted: bool

    @property
    def tiles(self) -> int:
        return self.length // TILE


class Prompts:
    """Runs pieces of prompts. ``tokens``: the capacity of a slot."""

    def __init__(
        self, forward: DeviceForward, tokens: int, device: str, capture: Capture | None
    ) -> None:
        self._forward = forward
        self._tokens = tokens
        self._device = device
        self._capture = capture
        self._steps: dict[PromptShape, Step] = {}
        self._missed = Counter[PromptShape]()

    @property
    def steps(self) -> Sequence[Step]:
        return tuple(self._steps.values())

    def choose(
        self, pieces: Sequence[Piece], numbers: Numbers
    ) -> tuple[Sequence[Piece], PromptShape]:
        """Return the first of ``pieces``, which one pass may compute, that the next one shall, and
        its shape: all in their own, unless that has never run. Its first run takes longer than
        padding to a larger shape, or than some more passes; so it is put off ``PATIENCE`` times."""
        shape = self._shape(pieces, numbers)
        if self._capture is None or shape in self._steps or self._missed[shape] == PATIENCE:
            return pieces, shape
        for count in range(len(pieces), 0, -1):
            found = self._that_ran(self._shape(pieces[:count], numbers))
            if found is not None:
                self._missed[shape] += 1
                return pieces[:count], found
        return pieces, shape

    def _that_ran(self, shape: PromptShape) -> PromptShape | None:
        """Return the smallest shape that has run and has room for one of ``shape``."""
        lengths = [shape.length] if shape.context else [each * TILE for each in TILES]
        larger = (replace(shape, length=each) for each in lengths if each >= shape.length)
        return next((each for each in larger if each in self._steps), None)

    def _shape(self, pieces: Sequence[Piece], numbers: Numbers) -> PromptShape:
        first, adapted = pieces[0], numbers is not None
        if first.start:
            context = context_bucket(first.stop, self._tokens)
            return PromptShape(prompt_bucket(len(first.ids)), context, adapted)
        tiles = sum(tiles_of(len(piece.ids)) for piece in pieces)
        return PromptShape(tile_bucket(tiles) * TILE, 0, adapted)

    def run(self, shape: PromptShape, pieces: Sequence[Piece], numbers: Numbers) -> Outputs:
        """Return logits and tokens after each piece, followed by those of padding. ``numbers``: of
        the adapters (None: no adapter at all)."""
        step, row = self._step(shape), 0
        step.host[BOUNDS, : shape.tiles + 1] = shape.length
        for index, piece in enumerate(pieces):
            _write(step.host, index, row, piece, numbers[index] if numbers else 0)
            row += tiles_of(len(piece.ids)) * TILE
        padding = range(row, shape.length, LONGEST_PIECE)
        step.host[BOUNDS, len(pieces) : len(pieces) + len(padding)] = torch.tensor(list(padding))
        return step.run()

    def prepare(self, shape: PromptShape) -> Outputs:
        """Run a shape on padding alone, which stores nothing."""
        return self._step(shape).run()

    def _step(self, shape: PromptShape) -> Step:
        """Return the step of a shape, its inputs set to padding of the backbone alone."""
        step = self._steps.get(shape)
        if step is None:
            step = self._steps[shape] = self._made(shape)
        step.host.zero_()
        step.host[POSITIONS] = PADDING
        return step

    def _made(self, shape: PromptShape) -> Step:
        def body(inputs: Tensor) -> Outputs:
            ids, positions, slots, adapters, last, bounds = inputs
            chosen = adapters[: shape.tiles] if shape.adapted else None
            where = positions, slots, bounds[: shape.tiles + 1]
            run = self._forward.prompts
            return with_tokens(run(ids, *where, last[: shape.tiles], chosen, shape.context))

        return Step(body, (6, shape.length), self._device, self._capture)


def _write(inputs: Tensor, index: int, row: int, piece: Piece, number: int) -> None:
    """Write the pass's piece ``index`` into its inputs, from ``row`` on; ``number``: of its
    adapter."""
    stop, tile = row + len(piece.ids), row // TILE
    inputs[IDS, row:stop] = torch.tensor(piece.ids)
    inputs[POSITIONS, row:stop] = torch.arange(piece.start, piece.stop)
    inputs[SLOTS, row:stop] = piece.slot
    inputs[ADAPTERS, tile : tile + tiles_of(len(piece.ids))] = number
    inputs[LAST, index], inputs[BOUNDS, index] = stop - 1, row


def next_pieces(pieces: Iterator[Piece], most: int) -> list[Piece]:
    """Return the next of ``pieces`` that one pass computes: whole prompts of up to ``most`` tokens
    with the padding of each, or one piece."""
    group = [next(pieces)]
    tiles = tiles_of(len(group[0].ids))
    for piece in pieces:
        tiles += tiles_of(len(piece.ids))
        if not (group[0].whole and piece.whole and tiles * TILE <= most):
            break
        group.append(piece)
    return group


def shapes_alone(max_context_tokens: int) -> Iterator[tuple[int, int]]:
    """Yield length and context of the shapes of one prompt, in ascending length."""
    for tiles in tile_buckets(min(max_context_tokens - 1, LONGEST_PIECE)):
        yield tiles * TILE, 0


def later_shapes(piece: int, max_context_tokens: int, tokens: int) -> Iterator[tuple[int, int]]:
    """Yield those of later pieces, after one or more of at least ``piece`` tokens."""
    if max_context_tokens - 1 > piece:
        for context in context_buckets(tokens):
            for length in SHORT_PROMPTS:
                if piece + length // 2 < context:
                    yield length, context


def shapes_together(max_batch_size: int, max_context_tokens: int) -> Iterator[tuple[int, int]]:
    """Yield those that only several prompts in one pass need."""
    longest = min(max_context_tokens - 1, LONGEST_PIECE)
    most = min(TOGETHER, max_batch_size * tiles_of(longest) * TILE)
    alone = set(shapes_alone(max_context_tokens))
    yield from ((tiles * TILE, 0) for tiles in tile_buckets(most) if (tiles * TILE, 0) not in alone)
