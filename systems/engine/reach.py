"""Which cached positions a token attends to."""

from __future__ import annotations

import torch
from torch import Tensor


def reached(positions: Tensor, tokens: int, window: int | None) -> Tensor:
    """Return which of the first ``tokens`` positions each token at ``positions`` (n,) attends to,
    (n, tokens): those up to its own, or the last ``window`` of these."""
    each, own = torch.arange(tokens, device=positions.device), positions[:, None]
    reach = each <= own
    return reach if window is None else reach & (each > own - window)


def as_mask(reach: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return what is added to scores: 0 where ``reach`` is true, else -inf."""
    return torch.zeros(reach.shape, dtype=dtype, device=reach.device).masked_fill_(
        ~reach, -torch.inf
    )
