"""Passes over prompts, in the few shapes that an engine prepares.

A pass computes either several prompts whole, padded to one length, or one piece of a long prompt,
padded too. A later piece attends to the first ``context`` cached tokens of its slot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from systems.engine.pieces import Piece

from .buckets import (
    SHORT_PROMPTS,
    batch_bucket,
    context_bucket,
    context_buckets,
    prompt_bucket,
    prompts_together,
)
from .forward import DeviceForward
from .graphs import Capture, Outputs, Step, with_tokens

# Rows of a pass's input tensor. The last two hold one number per prompt: of its adapter, and of the
# row of its last token.
IDS, POSITIONS, SLOTS, ADAPTERS, LAST = 0, 1, 2, 3, 4
PADDING = -1  # the position of a padding row
Numbers = list[int] | None
PATIENCE = 20
"""Passes: how many more, over one prompt each, take about as long as the first run of a shape,
which loads kernels (a 7B model on an H200)."""


@dataclass(frozen=True, slots=True)
class PromptShape:
    """``count`` pieces, padded to ``length``; ``context`` 0: they are the first of their prompts,
    which attend to themselves only; ``adapted``: at least one has an adapter."""

    count: int
    length: int
    context: int
    adapted: bool


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

    def ready(self, pieces: Sequence[Piece], numbers: Numbers) -> Sequence[Piece]:
        """Return the first of ``pieces``, which one pass may compute, that the next one shall: all,
        unless their shape has never run and that of fewer has. Some passes more take less time than
        the first run of a shape, ``PATIENCE`` of them no less."""
        shape = self._shape(pieces, numbers)
        if self._capture is None or shape in self._steps or self._missed[shape] == PATIENCE:
            return pieces
        for count in range(len(pieces) - 1, 0, -1):
            if self._shape(pieces[:count], numbers) in self._steps:
                self._missed[shape] += 1
                return pieces[:count]
        return pieces

    def _shape(self, pieces: Sequence[Piece], numbers: Numbers) -> PromptShape:
        count, length = _padded(pieces)
        first = pieces[0]
        context = context_bucket(first.stop, self._tokens) if first.start else 0
        return PromptShape(count, length, context, numbers is not None)

    def run(self, pieces: Sequence[Piece], numbers: Numbers) -> Outputs:
        """Return logits and tokens after each piece, followed by those of padding. ``numbers``: of
        the adapters (None: no adapter at all)."""
        shape = self._shape(pieces, numbers)
        step = self._step(shape)
        ids, positions, slots, adapters, last = step.host.view(5, shape.count, shape.length)
        for index, piece in enumerate(pieces):
            new = len(piece.ids)
            ids[index, :new] = torch.tensor(piece.ids)
            positions[index, :new] = torch.arange(piece.start, piece.stop)
            slots[index] = piece.slot
            last.view(-1)[index] = index * shape.length + new - 1
        adapters.view(-1)[: len(pieces)] = torch.tensor(numbers or [0] * len(pieces))
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
            ids, positions, slots = inputs[: SLOTS + 1]
            adapters = inputs[ADAPTERS, : shape.count] if shape.adapted else None
            last = inputs[LAST, : shape.count]
            run = self._forward.prompts
            return with_tokens(run(ids, positions, slots, last, adapters, shape.context))

        return Step(body, (5, shape.count * shape.length), self._device, self._capture)


def next_pieces(pieces: Iterator[Piece], most: int) -> list[Piece]:
    """Return the next of ``pieces`` that one pass computes: whole prompts of up to ``most`` tokens
    including padding, or one piece."""
    group = [next(pieces)]
    for piece in pieces:
        count, length = _padded([*group, piece])
        if not (group[0].whole and piece.whole and count * length <= most):
            break
        group.append(piece)
    return group


def shapes_alone(max_context_tokens: int) -> Iterator[tuple[int, int, int]]:
    """Yield count, length and context of the shapes of one prompt, in ascending length."""
    longest = max_context_tokens - 1
    for length in dict.fromkeys(prompt_bucket(min(each, longest)) for each in SHORT_PROMPTS):
        yield 1, length, 0


def later_shapes(
    piece: int, max_context_tokens: int, tokens: int
) -> Iterator[tuple[int, int, int]]:
    """Yield those of later pieces, after one or more of at least ``piece`` tokens."""
    if max_context_tokens - 1 > piece:
        for context in context_buckets(tokens):
            for length in SHORT_PROMPTS:
                if piece + length // 2 < context:
                    yield 1, length, context


def shapes_together(max_batch_size: int, max_context_tokens: int) -> Iterator[tuple[int, int, int]]:
    """Yield those of several prompts in one pass."""
    for count, length in prompts_together(max_batch_size):
        if length <= prompt_bucket(max_context_tokens - 1):
            yield count, length, 0


def _padded(pieces: Sequence[Piece]) -> tuple[int, int]:
    """Return the number of pieces and their length, with padding."""
    return batch_bucket(len(pieces)), prompt_bucket(max(len(piece.ids) for piece in pieces))
