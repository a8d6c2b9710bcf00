"""x·Wᵀ on weights in their stored dtype; the method depends on the number of rows.

- One row: a matrix-vector product. A few rows on half-precision weights: a product that reads them
  directly. Both are memory-bound, so half-precision weights take half the time.
- Several rows on half-precision weights, on a CPU without half-precision units: compute-bound. The
  weights are widened tile by tile into a small scratch that stays in cache, and multiplied there.
- Many rows: as W·xᵀ, for which the BLAS copies less before it multiplies; the result is then the
  transpose of a contiguous matrix.

The scratch is the only private memory: weights are never repacked, so they can be shared.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from .config import ModelConfig

# 2 MB of float32. Decode steps of SmolLM2-135M on 2 AVX2 cores: tiles of 0.5 MB are slower; tiles
# of 8 MB did not differ measurably (noisy machine), so the smaller of the two is used.
SCRATCH_ELEMENTS = 1 << 19
FEW_ROWS, MANY_ROWS = 3, 32


class Linear(Protocol):
    """(rows, in) × (out, in) → (rows, out), not always contiguous. The result is float32; for few
    rows it may have the weight's dtype."""

    def __call__(self, x: Tensor, weight: Tensor, /) -> Tensor: ...


def full_linear(x: Tensor, weight: Tensor) -> Tensor:
    """Multiply by weights of the same dtype as ``x``."""
    if x.shape[0] == 1:
        return torch.mv(weight, x[0])[None]
    if x.shape[0] < MANY_ROWS:
        return torch.mm(x, weight.t())
    return torch.mm(weight, x.t()).t()


class WideningLinear:
    """Multiplies by half-precision weights; ``largest``: elements of the largest, without head."""

    def __init__(self, largest: int) -> None:
        self._scratch = torch.empty(min(SCRATCH_ELEMENTS, largest), dtype=torch.float32)

    def __call__(self, x: Tensor, weight: Tensor, /) -> Tensor:
        rows, (out, inner) = x.shape[0], weight.shape
        if rows == 1:
            return torch.mv(weight, x[0].to(weight.dtype))[None]
        if rows <= FEW_ROWS:
            return torch.mm(x.to(weight.dtype), weight.t())
        many = rows >= MANY_ROWS
        y = torch.empty(out, rows).t() if many else torch.empty(rows, out)
        step = max(1, self._scratch.numel() // inner)
        for start in range(0, out, step):
            tile = weight[start : start + step]
            wide = self._scratch[: tile.numel()].view(tile.shape)
            wide.copy_(tile)
            part = y[:, start : start + step]
            if many:
                torch.mm(wide, x.t(), out=part.t())
            else:
                torch.mm(x, wide.t(), out=part)
        return y


def make_linear(dtype: torch.dtype, config: ModelConfig) -> Linear:
    """Return the product for weights stored as ``dtype``."""
    if dtype == torch.float32:
        return full_linear
    widest = max(config.q_size + 2 * config.kv_size, 2 * config.intermediate_size)
    return WideningLinear(widest * config.hidden_size)
