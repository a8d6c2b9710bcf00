"""Element types by their names in configurations. Imports no torch, since the gateway computes
sizes without it.

On the CPU weights are stored in the deployment's dtype; activations, adapter, keys and values are
float32. Without native half-precision arithmetic (AVX2), half precision saves bandwidth when
stored but is slow to compute in. peft also keeps adapters in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch

ITEMSIZE: Final = {"float32": 4, "bfloat16": 2, "float16": 2}
SAFETENSORS_NAMES: Final = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


def compute_dtype(stored: str, device: str = "cpu") -> str:
    """Return the dtype of activations, adapter, keys and values for weights of dtype ``stored``."""
    return "float32" if device == "cpu" else stored


def torch_dtype(name: str) -> torch.dtype:
    import torch

    dtype: torch.dtype = getattr(torch, name)
    return dtype
