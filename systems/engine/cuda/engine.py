"""The engine of one function on a GPU: the interface of the CPU engine, with steps as graphs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from systems.engine.batching import Batching, Running, start_sequence
from systems.engine.config import ModelConfig
from systems.engine.migration import RequestSnapshot
from systems.engine.requests import GenerationRequest, TokenEvent
from systems.engine.weights import BackboneWeights

from .buckets import (
    GRAPH_TOKENS,
    SHORT_PROMPTS,
    TOGETHER,
    batch_bucket,
    batch_buckets,
    context_bucket,
    context_buckets,
    prompt_bucket,
)
from .forward import DeviceForward
from .graphs import Capture, Step, is_cuda
from .ops import TorchOps, ops_for
from .slab import SlabCache
from .slot import AdapterSlot
from .table import AdapterTable

# Rows of a step's input tensor.
IDS, POSITIONS, SLOTS, ADAPTERS, LAST = 0, 1, 2, 3, 4
PADDING = -1  # the position of a padding row
TWICE = 2  # the first run of a shape loads its kernels, the second captures its graph

Numbers = list[int] | None


class CudaEngine(Batching):
    """Generates for one function at a time. The adapter in ``slot`` may be replaced while no
    request runs. Each running request holds a KV slot for a full context."""

    def __init__(
        self,
        config: ModelConfig,
        weights: BackboneWeights,
        slot: AdapterSlot | AdapterTable | None,
        *,
        max_batch_size: int,
        max_context_tokens: int,
        ops: TorchOps | None = None,
        graphs: bool = True,
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
        super().__init__(self._slab, max_batch_size, max_context_tokens)
        self._forward = DeviceForward(config, weights, slot, self._slab, chosen)
        self._slot = slot
        self._prompts: dict[tuple[int, int, bool], Step] = {}
        self._steps: dict[tuple[int, int, bool], Step] = {}
        self._capture = Capture(self._device) if graphs and is_cuda(self._device) else None
        self._unprepared = deque(self._preparations())

    @property
    def slot(self) -> AdapterSlot | AdapterTable | None:
        return self._slot

    @property
    def reserved_bytes(self) -> int:
        """Device memory held for keys and values: of the running requests, or of one if idle."""
        return self._slab.reserved_bytes

    @torch.inference_mode()
    def prefill(self, requests: Sequence[GenerationRequest]) -> list[TokenEvent]:
        self._check(requests)
        joined = [start_sequence(request) for request in requests]
        tokens: list[int] = []
        for group in _groups(joined):
            prompts = [sequence.request.prompt_ids for sequence in group]
            outputs = self._run_prompts(prompts, self._numbers(group), len(self._sequences))
            self._sequences += group
            tokens += _choose(group, *outputs)
        return self._advance(joined, tokens)

    def join(self, parted: RequestSnapshot) -> None:
        self._slab.hold(len(self._sequences) + 1)
        super().join(parted)

    def _free(self, slot: int) -> None:
        super()._free(slot)
        self._slab.give_back(len(self._sequences))

    @torch.inference_mode()
    def decode(self, only: Container[int] | None = None) -> list[TokenEvent]:
        sequences = self._first(only)
        if not sequences:
            return []
        ids = [sequence.token for sequence in sequences]
        positions = [sequence.cached for sequence in sequences]
        outputs = self._run_step(ids, positions, self._numbers(sequences))
        for sequence in sequences:
            sequence.cached += 1
        return self._advance(sequences, _choose(sequences, *outputs))

    def _numbers(self, sequences: Sequence[Running]) -> Numbers:
        """Return the slot number of each sequence's adapter; None: no adapter at all."""
        names = [sequence.request.adapter for sequence in sequences]
        return self._slot.numbers(names) if self._slot else None

    def _modes(self, sequences: int) -> list[Numbers]:
        return self._slot.modes(sequences) if self._slot else [None]

    @torch.inference_mode()
    def prepare(self) -> bool:
        """Prepare the next shape's kernels and graph, which takes a few tens of ms. Prompts come
        first, in ascending length, then steps in ascending batch size."""
        if self._sequences or not self._unprepared:
            return False
        self._unprepared.popleft()()
        if not self._unprepared and is_cuda(self._device):
            torch.cuda.empty_cache()  # memory of shapes that ran before they were captured
        return bool(self._unprepared)

    @property
    def unprepared(self) -> int:
        """The number of calls of :meth:`prepare` that remain."""
        return len(self._unprepared)

    @property
    def graphs(self) -> int:
        """The number of shapes that are replayed as graphs."""
        return sum(step.captured for step in (*self._prompts.values(), *self._steps.values()))

    def _preparations(self) -> Iterator[Callable[[], object]]:
        longest = self._max_context_tokens - 1
        for length in dict.fromkeys(min(short, longest) for short in SHORT_PROMPTS):
            for numbers in self._modes(1):
                run = partial(self._run_prompts, [(0,) * length], numbers, first_slot=0)
                yield from (run,) * TWICE
        for rows in batch_buckets(self._max_batch_size):
            for tokens in context_buckets(self._slab.tokens):
                places = [min(tokens, longest) - 1] + [PADDING] * (rows - 1)
                for numbers in self._modes(rows):
                    yield from (partial(self._run_step, [0] * rows, places, numbers),) * TWICE

    def _run_prompts(
        self, prompts: Sequence[Sequence[int]], numbers: Numbers, first_slot: int
    ) -> tuple[Tensor, Tensor]:
        count, length = len(prompts), prompt_bucket(max(map(len, prompts)))
        self._slab.hold(first_slot + count)
        key = count, length, numbers is not None
        step = self._prompts.get(key)
        if step is None:
            step = self._prompts[key] = self._prompt_step(*key)
        ids, _, slots, adapters, last = step.host.view(5, count, length)
        adapters.view(-1)[:count] = torch.tensor(numbers or [0] * count)
        for index, prompt in enumerate(prompts):
            ids[index, : len(prompt)] = torch.tensor(prompt)
            slots[index] = first_slot + index
            last.view(-1)[index] = index * length + len(prompt) - 1
        return step.run()

    def _prompt_step(self, count: int, length: int, adapted: bool) -> Step:
        """Run ``count`` prompts padded to ``length``. The last two input rows hold one number per
        prompt: of its adapter, and of the row of its last token."""

        def body(inputs: Tensor) -> tuple[Tensor, Tensor]:
            adapters = inputs[ADAPTERS, :count] if adapted else None
            run = self._forward.prompts
            ids, positions, slots = inputs[: SLOTS + 1]
            return _with_tokens(run(ids, positions, slots, inputs[LAST, :count], adapters))

        short = count == 1 and length <= GRAPH_TOKENS
        step = Step(body, (5, count * length), self._device, self._capture if short else None)
        step.host[POSITIONS] = torch.arange(length).repeat(count)
        return step

    def _run_step(
        self, ids: list[int], positions: list[int], numbers: Numbers
    ) -> tuple[Tensor, Tensor]:
        """Rows after the running ones are padding: their slots are free and have no memory."""
        context = context_bucket(max(positions) + 1, self._slab.tokens)
        key = batch_bucket(len(ids)), context, numbers is not None
        step = self._steps.get(key)
        if step is None:
            step = self._steps[key] = self._decode_step(*key)
        step.host[IDS, : len(ids)] = torch.tensor(ids)
        step.host[POSITIONS].fill_(PADDING)
        step.host[POSITIONS, : len(ids)] = torch.tensor(positions)
        step.host[ADAPTERS].zero_()
        step.host[ADAPTERS, : len(ids)] = torch.tensor(numbers or [0] * len(ids))
        logits, tokens = step.run()
        return logits[: len(ids)], tokens[: len(ids)]

    def _decode_step(self, rows: int, tokens: int, adapted: bool) -> Step:
        def body(inputs: Tensor) -> tuple[Tensor, Tensor]:
            ids, positions, slots, adapters = inputs
            chosen = adapters if adapted else None
            return _with_tokens(self._forward.step(ids, positions, slots, chosen, tokens))

        step = Step(body, (4, rows), self._device, self._capture)
        step.host[SLOTS] = torch.arange(rows)
        return step


def _groups(sequences: Sequence[Running]) -> Iterator[list[Running]]:
    """Group prompts, in order, for one pass each: up to ``TOGETHER`` tokens including padding; a
    longer prompt forms its own group."""
    group: list[Running] = []
    for sequence in sequences:
        longest = max(each.cached for each in (*group, sequence))
        if group and prompt_bucket(longest) * (len(group) + 1) > TOGETHER:
            yield group
            group = []
        group.append(sequence)
    yield group


def _with_tokens(logits: Tensor) -> tuple[Tensor, Tensor]:
    return logits, logits.argmax(1)


def _choose(sequences: Sequence[Running], logits: Tensor, tokens: Tensor) -> list[int]:
    """Copy the greedy tokens to the host; copy logits only for requests that sample."""
    chosen: list[int] = tokens.tolist()
    for row, sequence in enumerate(sequences):
        if sequence.sampler.generator is not None:
            chosen[row] = sequence.sampler.choose(logits[row].float().cpu())
    return chosen
