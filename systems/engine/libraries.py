"""The *libraries* artifact: everything that an instance imports, in one import.

torch runs the model; peft, with the parts of transformers it stands on, loads adapters; where there
is a card, Triton launches its kernels. Importing this starts no thread and no CUDA, so that a
process may fork after it and compute in the child.
"""

from pathlib import Path

import peft
import safetensors.torch
import torch
from peft.utils.save_and_load import load_peft_weights

from . import adapter, checkpoint, engine, weights

if Path("/dev/nvidiactl").exists():
    from .cuda import ahead

    ahead.load()

__all__ = [
    "adapter",
    "checkpoint",
    "engine",
    "load_peft_weights",
    "peft",
    "safetensors",
    "torch",
    "weights",
]
