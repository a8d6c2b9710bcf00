"""Continuous batching within one function: prefill joins, decode advances all that run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .adapter import AdapterWeights
from .attention import PromptAttention, StepAttention
from .config import ModelConfig
from .forward import Forward
from .kv_cache import KVCache, Slots
from .requests import Finish, GenerationRequest, TokenEvent
from .sampling import Sampler, choose_tokens
from .weights import BackboneWeights

__all__ = ["Engine", "GenerationRequest", "TokenEvent"]


@dataclass(slots=True, eq=False)
class Running:
    """A running request: ``cached`` tokens have keys and values, ``token`` is yet to be fed."""

    request: GenerationRequest
    sampler: Sampler
    cached: int
    token: int = -1
    produced: int = 0


class Engine:
    """Generates for one function. Not thread-safe; one step at a time. ``max_context_tokens``
    bounds prompt plus answer of each request."""

    def __init__(
        self,
        config: ModelConfig,
        weights: BackboneWeights,
        adapter: AdapterWeights | None,
        *,
        max_batch_size: int,
        max_context_tokens: int,
    ) -> None:
        self._config = config
        self._max_batch_size = max_batch_size
        self._max_context_tokens = max_context_tokens
        self._forward = Forward(config, weights, adapter, max_context_tokens)
        self._cache = KVCache(config, max_batch_size, max_context_tokens)
        self._slots: Slots = self._cache
        self._sequences: list[Running] = []  # its index is its slot in the cache

    @property
    def running(self) -> tuple[int, ...]:
        """Ids of the requests that :meth:`decode` will advance."""
        return tuple(sequence.request.request_id for sequence in self._sequences)

    @property
    def kv_bytes(self) -> int:
        """Memory that keys and values hold now; none once nothing runs."""
        return self._slots.nbytes

    @property
    def kv_bytes_per_token(self) -> int:
        return self._slots.bytes_per_token

    @torch.inference_mode()
    def prefill(self, requests: Sequence[GenerationRequest]) -> list[TokenEvent]:
        """Run the prompts as one batch and let them join those running; each one's first token.
        ``ValueError``, with nothing changed, for a batch or a prompt that does not fit."""
        self._check(requests)
        first_slot = len(self._sequences)
        joined = [start_sequence(request) for request in requests]
        lengths = tuple(sequence.cached for sequence in joined)
        ids = torch.tensor([token for request in requests for token in request.prompt_ids])
        positions = torch.cat([torch.arange(length) for length in lengths])
        last = torch.tensor(lengths).cumsum(0) - 1
        attention = PromptAttention(self._config, self._cache, first_slot, lengths)
        logits = self._forward(ids, positions, attention, last)
        self._sequences += joined
        return self._advance(joined, choose_tokens(logits, samplers_of(joined)))

    @torch.inference_mode()
    def decode(self) -> list[TokenEvent]:
        """One more token of every running request, in the order of :attr:`running`."""
        if not self._sequences:
            return []
        sequences = list(self._sequences)
        positions = [sequence.cached for sequence in sequences]
        attention = StepAttention.at(self._config, self._cache, positions)
        ids = torch.tensor([sequence.token for sequence in sequences])
        logits = self._forward(ids, torch.tensor(positions), attention)
        for sequence in sequences:
            sequence.cached += 1
        return self._advance(sequences, choose_tokens(logits, samplers_of(sequences)))

    def cancel(self, request_id: int) -> bool:
        """Stop a request and free its slot; whether it was running."""
        for slot, sequence in enumerate(self._sequences):
            if sequence.request.request_id == request_id:
                self._free(slot)
                return True
        return False

    def _check(self, requests: Sequence[GenerationRequest]) -> None:
        room = self._max_batch_size - len(self._sequences)
        if not 0 < len(requests) <= room:
            raise ValueError(f"a batch of {len(requests)}, there is room for {room}")
        for request in requests:
            if not 0 < len(request.prompt_ids) < self._max_context_tokens:
                raise ValueError(
                    f"request {request.request_id}: a prompt of {len(request.prompt_ids)} tokens;"
                    f" 1 to {self._max_context_tokens - 1} fit"
                )
            if request.max_tokens < 1:
                raise ValueError(f"request {request.request_id}: max_tokens must be positive")

    def _advance(self, sequences: Sequence[Running], tokens: list[int]) -> list[TokenEvent]:
        events = []
        for sequence, token in zip(sequences, tokens, strict=True):
            sequence.token = token
            sequence.produced += 1
            finished = self._finished(sequence)
            events.append(TokenEvent(sequence.request.request_id, token, finished))
            slot = self._sequences.index(sequence)
            self._slots.touch(slot, sequence.cached)
            if finished:
                self._free(slot)
        return events

    def _finished(self, sequence: Running) -> Finish | None:
        request = sequence.request
        if not request.ignore_eos and sequence.token in request.stop_token_ids:
            return "stop"
        full = sequence.cached + 1 >= self._max_context_tokens
        return "length" if full or sequence.produced >= request.max_tokens else None

    def _free(self, slot: int) -> None:
        """The last slot's sequence takes the freed place, so that those in use stay the first."""
        last = self._sequences.pop()
        if slot < len(self._sequences):
            self._slots.move(len(self._sequences), slot, last.cached)
            self._sequences[slot] = last
        if not self._sequences:
            self._slots.release()


def samplers_of(sequences: Sequence[Running]) -> list[Sampler]:
    return [sequence.sampler for sequence in sequences]


def start_sequence(request: GenerationRequest) -> Running:
    sampler = Sampler.of(request.temperature, request.top_p, request.seed)
    return Running(request, sampler, cached=len(request.prompt_ids))
