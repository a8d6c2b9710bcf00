"""Continuous batching for one function: prefill adds requests, decode advances all of them."""

from __future__ import annotations

from collections.abc import Container, Sequence

import torch

from .adapter import AdapterWeights
from .attention import PromptAttention, StepAttention
from .batching import Batching, Running, samplers_of, start_sequence
from .config import ModelConfig
from .forward import Forward
from .kv_cache import KVCache
from .requests import GenerationRequest, TokenEvent
from .sampling import choose_tokens
from .weights import BackboneWeights

__all__ = ["Engine", "GenerationRequest", "TokenEvent"]


class Engine(Batching):
    """Generates for one function. Not thread-safe. ``max_context_tokens`` bounds prompt plus
    output of each request."""

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
        self._forward = Forward(config, weights, adapter, max_context_tokens)
        self._cache = KVCache(config, max_batch_size, max_context_tokens)
        super().__init__(self._cache, max_batch_size, max_context_tokens)

    def _prepare(self, sequences: Sequence[Running], lengths: Sequence[int]) -> None:
        """Called before a pass over ``lengths[i]`` rows of each sequence."""

    @torch.inference_mode()
    def prefill(self, requests: Sequence[GenerationRequest]) -> list[TokenEvent]:
        self._check(requests)
        first_slot = len(self._sequences)
        joined = [start_sequence(request) for request in requests]
        lengths = tuple(sequence.cached for sequence in joined)
        ids = torch.tensor([token for request in requests for token in request.prompt_ids])
        positions = torch.cat([torch.arange(length) for length in lengths])
        last = torch.tensor(lengths).cumsum(0) - 1
        self._prepare(joined, lengths)
        attention = PromptAttention(self._config, self._cache, first_slot, lengths)
        logits = self._forward(ids, positions, attention, last)
        self._sequences += joined
        return self._advance(joined, choose_tokens(logits, samplers_of(joined)))

    @torch.inference_mode()
    def decode(self, only: Container[int] | None = None) -> list[TokenEvent]:
        sequences = self._first(only)
        if not sequences:
            return []
        self._prepare(sequences, [1] * len(sequences))
        positions = [sequence.cached for sequence in sequences]
        attention = StepAttention.at(self._config, self._cache, positions)
        ids = torch.tensor([sequence.token for sequence in sequences])
        logits = self._forward(ids, torch.tensor(positions), attention)
        for sequence in sequences:
            sequence.cached += 1
        return self._advance(sequences, choose_tokens(logits, samplers_of(sequences)))
