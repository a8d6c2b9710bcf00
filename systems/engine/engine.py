"""Continuous batching for one function on the CPU: prompts of any lengths, none padded."""

from __future__ import annotations

import sys
from collections.abc import Container, Sequence

import torch

from .adapter import AdapterWeights
from .attention import PromptAttention, StepAttention
from .batching import Batching, Running, samplers_of
from .config import ModelConfig
from .forward import Forward
from .kv_cache import KVCache
from .pieces import Piece, last_rows
from .requests import GenerationRequest, TokenEvent
from .sampling import choose_tokens
from .weights import BackboneWeights

__all__ = ["Engine", "GenerationRequest", "TokenEvent"]


class Engine(Batching):
    """Generates for one function. Not thread-safe. ``max_context_tokens`` bounds prompt plus
    output of each request; ``piece_tokens``: see :class:`Batching`."""

    def __init__(
        self,
        config: ModelConfig,
        weights: BackboneWeights,
        adapter: AdapterWeights | None,
        *,
        max_batch_size: int,
        max_context_tokens: int,
        piece_tokens: int | None = None,
    ) -> None:
        self._config = config
        self._forward = Forward(config, weights, adapter, max_context_tokens)
        self._cache = KVCache(config, max_batch_size, max_context_tokens)
        super().__init__(
            self._cache, config.vocab_size, max_batch_size, max_context_tokens, piece_tokens
        )

    def _prepare(self, sequences: Sequence[Running], lengths: Sequence[int]) -> None:
        """Called before a pass over ``lengths[i]`` rows of each sequence."""

    def _admit(self, sequences: Sequence[Running]) -> None:
        self._prepare(sequences, [len(each.request.prompt_ids) for each in sequences])

    @torch.inference_mode()
    def _compute(self, most: int | None) -> list[TokenEvent]:
        pieces = self._pieces(most)
        ids = torch.tensor([token for piece in pieces for token in piece.ids])
        positions = torch.cat([torch.arange(piece.start, piece.stop) for piece in pieces])
        sequences = [self._sequences[piece.slot] for piece in pieces]
        self._prepare(sequences, [len(piece.ids) for piece in pieces])
        attention = PromptAttention(self._config, self._cache, pieces)
        last = torch.tensor(last_rows(pieces), dtype=torch.int64)
        logits = self._forward(ids, positions, attention, last)
        complete = self._complete(pieces)
        return self._produce(complete, choose_tokens(logits, samplers_of(complete)))

    def _pieces(self, most: int | None) -> list[Piece]:
        """Return the next pieces, ``most`` tokens together; None: all that is left."""
        pieces, room = [], sys.maxsize if most is None else most
        for slot in range(self._ready, len(self._sequences)):
            sequence = self._sequences[slot]
            piece = Piece.of(slot, sequence.request.prompt_ids, sequence.cached, room)
            pieces.append(piece)
            room -= len(piece.ids)
            if not room:
                break
        return pieces

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
        self._stepped(sequences)
        return self._produce(sequences, choose_tokens(logits, samplers_of(sequences)))
