"""x·Wᵀ over weights as they are stored, the fastest way for the rows at hand.

Stored in float32 it is one BLAS call. Stored in halves, on a CPU without half-precision units:
one row reads the halves straight (bound by memory, which halves halve); several rows are bound by
arithmetic, so a tile of the weights is widened into a small scratch that stays in cache and
multiplied there. The scratch is the only private memory: weights are never repacked.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import linear

from .config import ModelConfig

SCRATCH_ELEMENTS = 1 << 21  # 8 MB of float32: a share of the last-level cache


class Linear(Protocol):
    """(rows, in) × (out, in) → (rows, out). The result is float32, or may be in the weight's
    dtype where there is one row."""

    def __call__(self, x: Tensor, weight: Tensor, /) -> Tensor: ...


class WideningLinear:
    """For weights stored in halves."""

    def __init__(self, largest: int) -> None:
        self._scratch = torch.empty(min(SCRATCH_ELEMENTS, largest), dtype=torch.float32)

    def __call__(self, x: Tensor, weight: Tensor) -> Tensor:
        if x.shape[0] == 1:
            return linear(x.to(weight.dtype), weight)
        out, inner = weight.shape
        step = max(1, self._scratch.numel() // inner)
        y = torch.empty(x.shape[0], out)
        for start in range(0, out, step):
            tile = weight[start : start + step]
            wide = self._scratch[: tile.numel()].view(tile.shape)
            wide.copy_(tile)
            torch.mm(x, wide.t(), out=y[:, start : start + step])
        return y


def make_linear(dtype: torch.dtype, config: ModelConfig) -> Linear:
    """The product for weights stored as ``dtype``."""
    if dtype == torch.float32:
        return linear
    widest = max(config.q_size + 2 * config.kv_size, 2 * config.intermediate_size)
    return WideningLinear(widest * config.hidden_size)
