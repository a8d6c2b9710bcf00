"""Qwen3: norms on the heads of q and k, whose size does not follow from the hidden size."""

from .architecture import Architecture
from .windows import in_last_layers

QWEN3 = Architecture(
    "qwen3",
    "Qwen3ForCausalLM",
    qk_norm=True,
    window=in_last_layers,
    defaults={
        "num_key_value_heads": 32,
        "head_dim": 128,
        "sliding_window": 4096,
        "max_window_layers": 28,
        "max_position_embeddings": 32768,
    },
)
