"""The architectures by their ``model_type``."""

from __future__ import annotations

from .architecture import Architecture
from .llama import LLAMA
from .mistral import MISTRAL
from .qwen2 import QWEN2
from .qwen3 import QWEN3

ARCHITECTURES: dict[str, Architecture] = {
    each.model_type: each for each in (LLAMA, MISTRAL, QWEN2, QWEN3)
}
