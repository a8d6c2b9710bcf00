"""Element types by the names that configurations use. Imports no torch: the gateway sizes things
up without it.

On the CPU weights are stored in the deployment's dtype while activations, adapter, keys and
values are float32: without native half-precision arithmetic (AVX2) halves are worth storing, for
the bandwidth they save, but not computing in. peft keeps adapters in float32 likewise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch

ITEMSIZE: Final = {"float32": 4, "bfloat16": 2, "float16": 2}
SAFETENSORS_NAMES: Final = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


def compute_dtype(stored: str, device: str = "cpu") -> str:
    """The dtype of activations, adapter, keys and values over weights stored as ``stored``."""
    return "float32" if device == "cpu" else stored


def torch_dtype(name: str) -> torch.dtype:
    import torch

    dtype: torch.dtype = getattr(torch, name)
    return dtype
