"""RMS norm in few operations, because for one row an operation costs more than its arithmetic."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Divide ``x`` (rows, hidden) by its root mean square, times ``weight``; both float32."""
    hidden = x.shape[1]
    if x.shape[0] == 1:
        row = x[0]
        mean = float(torch.dot(row, row)) / hidden
        return torch.mul(x, weight).mul_(1 / math.sqrt(mean + eps))
    mean_square = torch.linalg.vecdot(x, x).div_(hidden).add_(eps)
    return torch.mul(x, weight).mul_(mean_square.rsqrt_()[:, None])
