"""The engine of one function on a GPU: the interface of the CPU engine, with steps as graphs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from systems.engine.batching import Batching, MixedTokens, Running
from systems.engine.config import ModelConfig
from systems.engine.pieces import Piece
from systems.engine.requests import TokenEvent
from systems.engine.weights import BackboneWeights

from .buckets import (
    LONGEST_PIECE,
    TILES,
    TOGETHER,
    batch_bucket,
    batch_buckets,
    mixed_row_bucket,
    piece_bucket,
    prompt_bucket,
)
from .forward import DeviceForward
from .graphs import Capture, Outputs, Step, is_cuda, with_tokens
from .ops import TorchOps, ops_for
from .prompts import (
    PADDING,
    Numbers,
    Prompts,
    PromptShape,
    later_shapes,
    mixed_shapes,
    most_rows,
    next_pieces,
    shapes_alone,
    shapes_together,
)
from .slab import SlabCache
from .slot import AdapterSlot
from .table import AdapterTable

__all__ = ["CudaEngine", "Numbers"]

# Rows of a step's input tensor.
IDS, POSITIONS, SLOTS, ADAPTERS = 0, 1, 2, 3
TWICE = 2  # the first run of a shape loads its kernels, the second captures its graph


class CudaEngine(Batching):
    """Generates for one function at a time. The adapter in ``slot`` may be replaced while no
    request runs. Each running request holds a KV slot for a full context. ``piece_tokens`` is
    rounded down to a padded length. ``mixed``: whether it has mixed passes."""

    def __init__(
        self,
        config: ModelConfig,
        weights: BackboneWeights,
        slot: AdapterSlot | AdapterTable | None,
        *,
        max_batch_size: int,
        max_context_tokens: int,
        piece_tokens: int | None = None,
        ops: TorchOps | None = None,
        graphs: bool = True,
        mixed: bool = True,
    ) -> None:
        self._device = str(weights.embedding.device)
        chosen = ops or ops_for(self._device)
        self._slab = SlabCache(
            config,
            batch_bucket(max_batch_size),
            prompt_bucket(max_context_tokens),
            weights.dtype,
            self._device,
            backed=chosen.leaves_padding and is_cuda(self._device),
        )
        super().__init__(
            self._slab, config.vocab_size, max_batch_size, max_context_tokens, piece_tokens
        )
        logits = batch_bucket(max_batch_size) + TILES[-1]
        self._forward = DeviceForward(config, weights, slot, self._slab, chosen, logits)
        self._slot = slot
        self._mixed = mixed
        self._capture = None
        if graphs and is_cuda(self._device):
            rows = most_rows(self._longest, max_batch_size, max_context_tokens)
            self._capture = Capture(self._device, self._forward.pass_bytes(rows))
        self._prompts = Prompts(self._forward, self._slab.tokens, self._device, self._capture)
        self._steps: dict[tuple[int, bool], Step] = {}
        self._unprepared = deque(self._preparations())

    @property
    def slot(self) -> AdapterSlot | AdapterTable | None:
        return self._slot

    @property
    def reserved_bytes(self) -> int:
        """Bytes of device memory held for keys and values: of the running requests and those that
        ended since the last pass or step, or of one if idle; none before the first request."""
        return self._slab.reserved_bytes

    def _admit(self, sequences: Sequence[Running]) -> None:
        self._numbers(sequences)

    @torch.inference_mode()
    def _compute(self, most: int | None) -> list[TokenEvent]:
        self._give_back()
        group = self._pieces(TOGETHER if most is None else piece_bucket(most))
        numbers = self._numbers([self._sequences[piece.slot] for piece in group])
        pieces, shape = self._prompts.choose(group, numbers)
        outputs = self._prompts.run(shape, pieces, numbers)
        complete = self._complete(pieces)
        # Tokens are read even if no prompt is complete: the next pass writes the input buffer.
        tokens = _choose(complete, *outputs)
        return self._produce(complete, tokens[: len(complete)])

    def _pieces(self, most: int) -> list[Piece]:
        """Return the pieces of the next pass, of up to ``most`` tokens including padding."""
        longest = min(most, LONGEST_PIECE)
        waiting = enumerate(self._sequences[self._ready :], self._ready)
        return next_pieces(
            (
                Piece.of(slot, each.request.prompt_ids, each.cached, longest)
                for slot, each in waiting
            ),
            most,
        )

    def _free(self, slot: int) -> None:
        """The slot keeps its memory until the next pass or step, unless none is in use any more: a
        request that begins by then takes it, and nothing is unmapped and mapped again."""
        super()._free(slot)
        if not self._sequences:
            self._give_back()

    def _give_back(self) -> None:
        self._slab.give_back(max(len(self._sequences), 1))

    @torch.inference_mode()
    def decode(self, only: Container[int] | None = None) -> list[TokenEvent]:
        self._give_back()
        sequences = self._first(only)
        if not sequences:
            return []
        ids = [sequence.token for sequence in sequences]
        positions = [sequence.cached for sequence in sequences]
        outputs = self._run_step(ids, positions, self._numbers(sequences))
        self._stepped(sequences)
        return self._produce(sequences, _choose(sequences, *outputs))

    @torch.inference_mode()
    def mix(self, only: Container[int]) -> MixedTokens | None:
        running = self._first(only) if self._mixed and self.prefilling else []
        if not running:
            return None
        group = self._pieces(self._longest)
        rows = mixed_row_bucket(len(running), self._max_batch_size)
        numbers = self._numbers([*running, *(self._sequences[piece.slot] for piece in group)])
        shape = self._prompts.mixed_shape(rows, group, numbers)
        if shape is None:
            return None
        self._give_back()
        steps = [Piece(n, each.cached, (each.token,), True) for n, each in enumerate(running)]
        logits, tokens = self._prompts.run(shape, group, numbers, steps)
        self._stepped(running)
        complete = self._complete(group)
        further = _choose(running, logits, tokens)[: len(running)]
        first = _choose(complete, logits[rows:], tokens[rows:])[: len(complete)]
        return MixedTokens(self._produce(complete, first), self._produce(running, further))

    def _numbers(self, sequences: Sequence[Running]) -> Numbers:
        """Return the slot number of each sequence's adapter; None: no adapter at all."""
        names = [sequence.request.adapter for sequence in sequences]
        return self._slot.numbers(names) if self._slot else None

    def _modes(self, sequences: int) -> list[Numbers]:
        return self._slot.modes(sequences) if self._slot else [None]

    @torch.inference_mode()
    def prepare(self) -> bool:
        """Prepare the next shape's kernels and graph, which takes a few tens of ms: single prompts
        in ascending length, then steps in ascending batch size, later pieces of long prompts,
        passes that are longer than any prompt, and mixed ones."""
        if self._sequences or not self._unprepared:
            return False
        held = self._slab.held
        self._slab.hold(1)  # padding touches no slot, but launches check the address of the first
        _, tokens = self._unprepared.popleft()()
        tokens.cpu()  # wait: the next call may write the input buffer
        self._slab.give_back(held)
        if not self._unprepared:
            torch.cuda.empty_cache()  # memory of shapes that ran before they were captured
        return bool(self._unprepared)

    @property
    def unprepared(self) -> int:
        """The number of calls of :meth:`prepare` that remain."""
        return len(self._unprepared)

    @property
    def graphs(self) -> int:
        """The number of shapes that are replayed as graphs."""
        return sum(step.captured for step in (*self._prompts.steps, *self._steps.values()))

    def _preparations(self) -> Iterator[Callable[[], Outputs]]:
        most, longest, slot = self._max_batch_size, self._max_context_tokens, self._slab.tokens
        yield from self._prompt_preparations(shapes_alone(longest))
        for rows in batch_buckets(most):
            for numbers in self._modes(rows):
                yield from (partial(self._prepare_step, rows, numbers is not None),) * TWICE
        yield from self._prompt_preparations(later_shapes(self._longest, longest, slot))
        yield from self._prompt_preparations(shapes_together(most, longest))
        if self._mixed:
            yield from self._mixed_preparations()

    @property
    def _longest(self) -> int:
        """The most prompt tokens of a pass beside running requests, padding included."""
        return piece_bucket(self._piece_tokens or LONGEST_PIECE)

    def _mixed_preparations(self) -> Iterator[Callable[[], Outputs]]:
        sizes = self._longest, self._max_batch_size, self._max_context_tokens
        for length, rows in mixed_shapes(*sizes):
            for numbers in self._modes(1):
                shape = PromptShape(length, 0, numbers is not None, rows)
                yield from (partial(self._prompts.prepare, shape),) * TWICE

    def _prompt_preparations(
        self, shapes: Iterator[tuple[int, int]]
    ) -> Iterator[Callable[[], Outputs]]:
        for length, context in shapes:
            for numbers in self._modes(1):
                shape = PromptShape(length, context, numbers is not None)
                yield from (partial(self._prompts.prepare, shape),) * TWICE

    def _run_step(self, ids: list[int], positions: list[int], numbers: Numbers) -> Outputs:
        """Rows after the running ones are padding, of the backbone alone; their slots are free and
        may have no memory."""
        rows = batch_bucket(len(ids))
        step, padding = self._step(rows, numbers is not None), rows - len(ids)
        step.host[IDS] = torch.tensor(ids + [0] * padding)
        step.host[POSITIONS] = torch.tensor(positions + [PADDING] * padding)
        step.host[ADAPTERS] = torch.tensor((numbers or [0] * len(ids)) + [0] * padding)
        logits, tokens = step.run()
        return logits[: len(ids)], tokens[: len(ids)]

    def _prepare_step(self, rows: int, adapted: bool) -> Outputs:
        """Run a step on padding alone, which stores nothing."""
        step = self._step(rows, adapted)
        step.host[IDS] = step.host[ADAPTERS] = 0
        step.host[POSITIONS] = PADDING
        return step.run()

    def _step(self, rows: int, adapted: bool) -> Step:
        key = rows, adapted
        if key not in self._steps:
            self._steps[key] = self._decode_step(*key)
        return self._steps[key]

    def _decode_step(self, rows: int, adapted: bool) -> Step:
        def body(inputs: Tensor) -> Outputs:
            ids, positions, slots, adapters = inputs
            chosen = adapters if adapted else None
            return with_tokens(self._forward.step(ids, positions, slots, chosen))

        step = Step(body, (4, rows), self._device, self._capture)
        step.host[SLOTS] = torch.arange(rows)
        return step


def _choose(sequences: Sequence[Running], logits: Tensor, tokens: Tensor) -> list[int]:
    """Copy the greedy tokens of all rows to the host, and the logits of those of ``sequences``, the
    first rows, that sample. Return a token for each row."""
    chosen: list[int] = tokens.tolist()
    for row, sequence in enumerate(sequences):
        if sequence.sampler.generator is not None:
            chosen[row] = sequence.sampler.choose(logits[row].float().cpu())
    return chosen
