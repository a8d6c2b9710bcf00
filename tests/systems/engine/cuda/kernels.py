"""What the tests of kernels share: the device, tolerances and random tensors. They run on a card if
there is one, else in Triton's interpreter."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
DTYPE = torch.float16 if CUDA else torch.float32
TOLERANCE = {"rtol": 1e-2, "atol": 4e-3} if CUDA else {"rtol": 1e-5, "atol": 1e-5}


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(DEVICE, DTYPE)


def index(*values: int) -> Tensor:
    return torch.tensor(values, device=DEVICE)


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, **TOLERANCE)


def close_in_scale(found: Tensor, wanted: Tensor) -> None:
    """Compare relative to the largest value, since small ones can be sums of large ones."""
    scale = float(wanted.abs().max())
    close(found / scale, wanted / scale)
