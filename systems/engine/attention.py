"""Grouped-query attention over the KV cache: one class for prompts, one for decode steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from .config import ModelConfig
from .kv_cache import KVCache


@dataclass(frozen=True, slots=True)
class PromptAttention:
    """Causal attention of whole prompts, concatenated: ``lengths[i]`` tokens go to slot
    ``first_slot`` + i. Each prompt is computed separately, so that none is padded."""

    config: ModelConfig
    cache: KVCache
    first_slot: int
    lengths: tuple[int, ...]

    def __call__(self, layer: int, qkv: Tensor) -> Tensor:
        """``qkv``: (tokens, q + k + v heads, head_dim), rotated → (tokens, q_size)."""
        heads, kv_heads = self.config.num_heads, self.config.num_kv_heads
        out = torch.empty(qkv.shape[0], heads, self.config.head_dim)
        start = 0
        for index, length in enumerate(self.lengths):
            rows = qkv[start : start + length]
            kv = rows[:, heads:].view(length, 2, kv_heads, -1)
            self.cache.write_prompt(layer, self.first_slot + index, kv)
            q, k, v = (part.transpose(0, 1)[None] for part in (rows[:, :heads], kv[:, 0], kv[:, 1]))
            attended = scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            out[start : start + length] = attended[0].transpose(0, 1)
            start += length
        return out.view(qkv.shape[0], -1)


@dataclass(frozen=True, slots=True)
class StepAttention:
    """Attention of one new token per slot 0 … n-1, over the used part of the cache.

    ``mask``: (n·kv heads, 1, tokens), 0 or -inf. ``views``: the cache by layer.
    """

    config: ModelConfig
    cache: KVCache
    rows: Tensor
    mask: Tensor
    views: tuple[tuple[Tensor, Tensor], ...]

    @classmethod
    def at(cls, config: ModelConfig, cache: KVCache, positions: list[int]) -> StepAttention:
        """``positions``: the position of each slot's new token."""
        where = torch.tensor(positions)
        tokens = max(positions) + 1
        beyond = torch.arange(tokens) > where.repeat_interleave(config.num_kv_heads)[:, None]
        mask = torch.zeros(beyond.shape).masked_fill_(beyond, -torch.inf)[:, None]
        views = cache.read(len(positions), tokens)
        return cls(config, cache, cache.rows_at(where), mask, views)

    def __call__(self, layer: int, qkv: Tensor) -> Tensor:
        """``qkv``: (n, q + k + v heads, head_dim), rotated → (n, q_size). Two batched products: for
        one query they are faster than the fused kernel, which splits long queries among threads."""
        config = self.config
        heads, kv_heads = config.num_heads, config.num_kv_heads
        self.cache.write_step(layer, self.rows, qkv[:, heads:])
        keys, values = self.views[layer]
        q = qkv[:, :heads].reshape(-1, heads // kv_heads, config.head_dim)
        scores = torch.baddbmm(self.mask, q, keys, alpha=config.head_dim**-0.5)
        return torch.bmm(scores.softmax(-1), values).view(qkv.shape[0], -1)
