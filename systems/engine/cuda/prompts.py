"""Passes over prompts, in the few shapes that an engine prepares.

A pass computes either the first pieces of one or several prompts, each in tiles of its own, so that
little is padded, or one later piece of a long prompt, padded to one of a few lengths. A later piece
attends to the first ``context`` cached tokens of its slot. A mixed pass (Sarathi-Serve, Agrawal et
al., OSDI 2024) also computes the next token of running requests, a row each, before the tiles: it
reads the weights once for both.
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
    PATIENCE,
    SHORT_PROMPTS,
    TILE,
    TILES,
    TOGETHER,
    context_bucket,
    context_buckets,
    mixed_rows,
    prompt_bucket,
    tile_bucket,
    tile_buckets,
    tiles_of,
)
from .forward import DeviceForward
from .graphs import Capture, Outputs, Step, with_tokens

# Rows of a pass's input tensor. Only the first numbers of the last three count: the adapter of each
# running request and each tile, the rows of them and of each piece's last token, and the rows at
# which pieces and parts of padding begin, from the first tile.
IDS, POSITIONS, SLOTS, ADAPTERS, LAST, BOUNDS = range(6)
PADDING = -1  # the position of a padding row
Numbers = list[int] | None


@dataclass(frozen=True, slots=True)
class PromptShape:
    """``length``: tokens, padding included, a multiple of ``TILE``; ``context``: cached tokens that
    a later piece attends to; 0: pieces are the first of their prompts, which attend to themselves
    only; ``adapted``: at least one has an adapter; ``rows``: of running requests before the tiles,
    padding included, one for each of the first slots."""

    length: int
    context: int
    adapted: bool
    rows: int = 0

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
        its shape: all in their own, or, where that is put off, as many as a shape that has run has
        room for."""
        shape = self._shape(pieces, numbers)
        if self._is_due(shape):
            return pieces, shape
        for count in range(len(pieces), 0, -1):
            found = self._that_ran(_fitted(shape, pieces[:count]))
            if found is not None:
                return pieces[:count], found
        return pieces, shape

    def mixed_shape(
        self, rows: int, pieces: Sequence[Piece], numbers: Numbers
    ) -> PromptShape | None:
        """Return the shape of a mixed pass over ``pieces`` with ``rows`` of running requests. None:
        a pass and a step apart take less time, because this shape is put off, or do what no mixed
        pass does, later pieces of long prompts."""
        shape = replace(self._shape(pieces, numbers), rows=rows)
        return shape if not shape.context and self._is_due(shape) else None

    def _is_due(self, shape: PromptShape) -> bool:
        """Return whether a pass shall have ``shape``. The first run of one takes longer than
        padding to a larger one, or than some more passes, so it is put off ``PATIENCE`` times."""
        if self._capture is None or shape in self._steps or self._missed[shape] == PATIENCE:
            return True
        self._missed[shape] += 1
        return False

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
        return _fitted(PromptShape(0, 0, adapted), pieces)

    def run(
        self,
        shape: PromptShape,
        pieces: Sequence[Piece],
        numbers: Numbers,
        running: Sequence[Piece] = (),
    ) -> Outputs:
        """Return logits and tokens of the shape's rows: those after each of ``running``, pieces of
        one token for slots 0 … n-1, and of padding; then those after each of ``pieces``, and of
        padding. ``numbers``: of the adapters of both (None: no adapter at all)."""
        step, rows = self._step(shape), len(running)
        places = numbers or [0] * (rows + len(pieces))
        step.host[IDS, :rows] = torch.tensor([piece.ids[0] for piece in running])
        step.host[POSITIONS, :rows] = torch.tensor([piece.start for piece in running])
        step.host[ADAPTERS, :rows] = torch.tensor(places[:rows])
        _write(shape, step.host, pieces, places[rows:])
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
        step.host[SLOTS, : shape.rows] = step.host[LAST, : shape.rows] = torch.arange(shape.rows)
        return step

    def _made(self, shape: PromptShape) -> Step:
        parts = shape.rows + shape.tiles

        def body(inputs: Tensor) -> Outputs:
            ids, positions, slots, adapters, last, bounds = inputs
            chosen = adapters[:parts] if shape.adapted else None
            where = positions, slots, bounds[: shape.tiles + 1]
            logits = self._forward.prompts(
                ids, *where, last[:parts], chosen, context=shape.context, rows=shape.rows
            )
            return with_tokens(logits)

        return Step(body, (6, shape.rows + shape.length), self._device, self._capture)


def _write(
    shape: PromptShape, inputs: Tensor, pieces: Sequence[Piece], places: Sequence[int]
) -> None:
    """Write the pieces into a pass's inputs; ``places``: the numbers of their adapters."""
    inputs[BOUNDS, : shape.tiles + 1] = shape.length
    tile = 0
    for index, (piece, place) in enumerate(zip(pieces, places, strict=False)):
        size, row = tiles_of(len(piece.ids)), shape.rows + tile * TILE
        stop = row + len(piece.ids)
        inputs[IDS, row:stop] = torch.tensor(piece.ids)
        inputs[POSITIONS, row:stop] = torch.arange(piece.start, piece.stop)
        inputs[SLOTS, row:stop] = piece.slot
        inputs[ADAPTERS, shape.rows + tile : shape.rows + tile + size] = place
        inputs[LAST, shape.rows + index], inputs[BOUNDS, index] = stop - 1, tile * TILE
        tile += size
    padding = range(tile * TILE, shape.length, LONGEST_PIECE)
    inputs[BOUNDS, len(pieces) : len(pieces) + len(padding)] = torch.tensor(list(padding))


def _fitted(shape: PromptShape, pieces: Sequence[Piece]) -> PromptShape:
    """Return ``shape`` with the length that ``pieces`` need, if they are first ones."""
    if shape.context:
        return shape
    tiles = sum(tiles_of(len(piece.ids)) for piece in pieces)
    return replace(shape, length=tile_bucket(tiles) * TILE)


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


def mixed_shapes(
    piece: int, max_batch_size: int, max_context_tokens: int
) -> Iterator[tuple[int, int]]:
    """Yield length and rows of mixed passes."""
    longest = min(max_context_tokens - 1, LONGEST_PIECE)
    most = min(piece, (max_batch_size - 1) * tiles_of(longest) * TILE)
    for rows in mixed_rows(max_batch_size):
        yield from ((tiles * TILE, rows) for tiles in tile_buckets(most))


def most_rows(piece: int, max_batch_size: int, max_context_tokens: int) -> int:
    """Return the tokens of the largest pass or step, padding and running requests included."""
    mixed = mixed_shapes(piece, max_batch_size, max_context_tokens)
    together = shapes_together(max_batch_size, max_context_tokens)
    alone = shapes_alone(max_context_tokens)
    return max(
        *(length + rows for length, rows in mixed),
        *(length for shapes in (alone, together) for length, _ in shapes),
        max_batch_size,
    )


def shapes_together(max_batch_size: int, max_context_tokens: int) -> Iterator[tuple[int, int]]:
    """Yield those that only several prompts in one pass need."""
    longest = min(max_context_tokens - 1, LONGEST_PIECE)
    most = min(TOGETHER, max_batch_size * tiles_of(longest) * TILE)
    alone = set(shapes_alone(max_context_tokens))
    yield from ((tiles * TILE, 0) for tiles in tile_buckets(most) if (tiles * TILE, 0) not in alone)
