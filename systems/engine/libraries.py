"""The *libraries* artifact: importing this module imports everything that an instance needs.

torch runs the model, and peft loads adapters with parts of transformers. What a GPU needs in
addition is in :mod:`.cuda.pre_import`. This import starts neither threads nor CUDA nor programs: a
process may fork after it and compute in the child, and may import it in a sandbox.
"""

import peft
import safetensors.torch
import torch
from peft.utils.save_and_load import load_peft_weights

from . import adapter, checkpoint, engine, weights

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
