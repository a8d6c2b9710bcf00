"""Grouped-query attention over the KV cache: one class for prompts, one for decode steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from .config import ModelConfig
from .kv_cache import KVCache
from .pieces import Piece
from .reach import as_mask, reached


@dataclass(frozen=True, slots=True)
class PromptAttention:
    """Causal attention of pieces of prompts, concatenated. A piece attends to itself and to what
    the cache holds of its prompt before it. Each is computed separately, so that none is padded."""

    config: ModelConfig
    cache: KVCache
    pieces: Sequence[Piece]

    def __call__(self, layer: int, qkv: Tensor) -> Tensor:
        """``qkv``: (tokens, q + k + v heads, head_dim), rotated → (tokens, q_size)."""
        heads = self.config.num_heads
        out = torch.empty(qkv.shape[0], heads, self.config.head_dim)
        lengths = [len(piece.ids) for piece in self.pieces]
        parts = zip(self.pieces, torch.split(qkv, lengths), torch.split(out, lengths), strict=True)
        for piece, rows, attended in parts:
            kv = rows[:, heads:].view(len(rows), 2, self.config.num_kv_heads, -1)
            self.cache.write_piece(layer, piece.slot, piece.start, kv)
            if piece.start:
                kv = self.cache.read_slot(layer, piece.slot, piece.stop).permute(2, 0, 1, 3)
            attended.copy_(_attend(rows[:, :heads], kv, self.config.window_of(layer)))
        return out.view(qkv.shape[0], -1)


def _attend(q: Tensor, kv: Tensor, window: int | None) -> Tensor:
    """Attend with the last tokens of ``kv`` (tokens, 2, kv heads, head_dim); ``q``: (n, heads,
    head_dim) → the same."""
    tokens, new = len(kv), len(q)
    bound = window is not None and window < tokens
    q, k, v = (part.transpose(0, 1)[None] for part in (q, kv[:, 0], kv[:, 1]))
    if tokens == new and not bound:
        attended = scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    else:
        reach = reached(torch.arange(tokens - new, tokens), tokens, window)
        attended = scaled_dot_product_attention(q, k, v, reach, enable_gqa=True)
    return attended[0].transpose(0, 1)


@dataclass(frozen=True, slots=True)
class StepAttention:
    """Attention of one new token per slot 0 … n-1, over the used part of the cache.

    ``masks``: by window, (n·kv heads, 1, tokens), 0 or -inf. ``views``: the cache by layer.
    """

    config: ModelConfig
    cache: KVCache
    rows: Tensor
    masks: Mapping[int | None, Tensor]
    views: tuple[tuple[Tensor, Tensor], ...]

    @classmethod
    def at(cls, config: ModelConfig, cache: KVCache, positions: list[int]) -> StepAttention:
        """``positions``: the position of each slot's new token."""
        where = torch.tensor(positions)
        tokens = max(positions) + 1
        heads = where.repeat_interleave(config.num_kv_heads)
        masks = {each: as_mask(reached(heads, tokens, each))[:, None] for each in config.windows}
        views = cache.read(len(positions), tokens)
        return cls(config, cache, cache.rows_at(where), masks, views)

    def __call__(self, layer: int, qkv: Tensor) -> Tensor:
        """``qkv``: (n, q + k + v heads, head_dim), rotated → (n, q_size). Two batched products: for
        one query they are faster than the fused kernel, which splits long queries among threads."""
        config = self.config
        heads, kv_heads = config.num_heads, config.num_kv_heads
        self.cache.write_step(layer, self.rows, qkv[:, heads:])
        keys, values = self.views[layer]
        q = qkv[:, :heads].reshape(-1, heads // kv_heads, config.head_dim)
        mask = self.masks[config.window_of(layer)]
        scores = torch.baddbmm(mask, q, keys, alpha=config.head_dim**-0.5)
        return torch.bmm(scores.softmax(-1), values).view(qkv.shape[0], -1)
