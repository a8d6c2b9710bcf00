"""The *libraries* artifact: importing this module imports everything that an instance needs.

torch runs the model, peft loads adapters with parts of transformers, and Triton launches kernels on
a GPU. This import starts neither threads nor CUDA, so that a process may fork after it and compute
in the child.
"""

from pathlib import Path

import peft
import safetensors.torch
import torch
from peft.utils.save_and_load import load_peft_weights

from . import adapter, checkpoint, engine, weights

if Path("/dev/nvidiactl").exists():
    from .cuda import pre_import as ahead

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
