"""Mistral 7B: a sliding window in every layer, which later versions leave out."""

from .architecture import Architecture
from .windows import everywhere

MISTRAL = Architecture(
    "mistral",
    "MistralForCausalLM",
    window=everywhere,
    defaults={
        "num_key_value_heads": 8,
        "sliding_window": 4096,
        "max_position_embeddings": 131072,
    },
)
