"""Qwen2 and Qwen2.5: biases on q, k and v; a sliding window in the last layers if it is set."""

from .architecture import Architecture
from .windows import in_last_layers

QWEN2 = Architecture(
    "qwen2",
    "Qwen2ForCausalLM",
    qkv_bias=True,
    window=in_last_layers,
    defaults={
        "num_key_value_heads": 32,
        "sliding_window": 4096,
        "max_window_layers": 28,
        "max_position_embeddings": 32768,
    },
)
