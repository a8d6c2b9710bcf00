"""What a layer applies to the heads of q, k and v between their projection and attention."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .config import ModelConfig
from .rope import rotate_
from .weights import LayerWeights


@dataclass(frozen=True, slots=True)
class Heads:
    """The bias and norms of one layer in float32, or None, and its rotation. ``bias``: (q + k + v);
    ``norm``: (q + k heads, head_dim)."""

    rotated: int
    head_dim: int
    bias: Tensor | None
    norm: Tensor | None
    eps: float

    @classmethod
    def of(cls, config: ModelConfig, layer: LayerWeights) -> Heads:
        counts = torch.tensor([config.num_heads, config.num_kv_heads])
        norm = None if layer.qk_norm is None else layer.qk_norm.float()
        return cls(
            config.num_heads + config.num_kv_heads,
            config.head_dim,
            None if layer.qkv_bias is None else layer.qkv_bias.float(),
            None if norm is None else norm.repeat_interleave(counts, 0),
            config.rms_norm_eps,
        )

    def __call__(self, qkv: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Change ``qkv`` (tokens, q + k + v), float32, in place; return it as (tokens, heads,
        head_dim). ``cos``, ``sin``: (tokens, 1, head_dim)."""
        if self.bias is not None:
            qkv.add_(self.bias)
        heads = qkv.view(qkv.shape[0], -1, self.head_dim)
        turned = heads[:, : self.rotated]
        if self.norm is not None:
            mean_square = turned.square().mean(-1, keepdim=True)
            turned.mul_(mean_square.add_(self.eps).rsqrt_()).mul_(self.norm)
        rotate_(turned, cos, sin)
        return heads
