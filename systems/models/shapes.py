"""The shapes of the backbones that are made with random weights.

Those of published models are from the ``config.json`` in their repository on huggingface.co, which
the summary names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from systems.engine.architectures.registry import ARCHITECTURES

from .byte_tokenizer import BOS_ID, EOS_ID, PAD_ID

SPECIAL: Mapping[str, int] = {
    "bos_token_id": BOS_ID,
    "eos_token_id": EOS_ID,
    "pad_token_id": PAD_ID,
}


@dataclass(frozen=True, slots=True)
class Shape:
    """``config``: the fields of a ``config.json`` that differ from :attr:`fields`' common ones.
    ``std``: standard deviation of the weights; ``nbytes``: about its size on disk."""

    name: str
    summary: str
    dtype: str
    std: float
    nbytes: int
    config: Mapping[str, Any] = field(default_factory=dict)
    model_type: str = "llama"

    @property
    def fields(self) -> dict[str, Any]:
        """The content of the ``config.json``."""
        common = {
            "architectures": [ARCHITECTURES[self.model_type].class_name],
            "model_type": self.model_type,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "tie_word_embeddings": False,
            "initializer_range": self.std,
            "dtype": self.dtype,
        }
        return {**common, **self.config, **SPECIAL}


def _config(
    hidden: int, inner: int, layers: int, heads: int, kv: int, **more: Any
) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "head_dim": hidden // heads,
        **more,
    }


def _published(
    name: str,
    repository: str,
    nbytes: int,
    config: Mapping[str, Any],
    model_type: str = "llama",
    dtype: str = "bfloat16",
) -> Shape:
    summary = f"the shape of {repository}, seeded random weights"
    return Shape(name, summary, dtype, 0.02, nbytes, config, model_type)


_TINY = {"vocab_size": 1024, "max_position_embeddings": 2048}
_LLAMA2 = {"vocab_size": 32000, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5}
_LLAMA31 = {
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "rope_theta": 500000.0,
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}
_MISTRAL = {"vocab_size": 32000, "max_position_embeddings": 32768, "sliding_window": 4096}
_QWEN = {
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "use_sliding_window": False,
}

SHAPES = (
    Shape(
        "tiny",
        "seeded random Llama of 3.3 M parameters with grouped queries, for tests",
        "float32",
        0.08,
        13_000_000,
        _config(256, 688, 4, 8, 2, **_TINY),
    ),
    Shape(
        "tiny-mistral",
        "seeded random Mistral of 0.8 M parameters with a window of 24 tokens, for tests",
        "float32",
        0.11,
        3_400_000,
        _config(128, 344, 3, 4, 2, **_TINY, sliding_window=24),
        "mistral",
    ),
    Shape(
        "tiny-qwen2",
        "seeded random Qwen2 of 0.7 M parameters with biases and a tied head, for tests",
        "float32",
        0.11,
        2_900_000,
        _config(128, 344, 3, 4, 2, **_TINY, tie_word_embeddings=True),
        "qwen2",
    ),
    Shape(
        "tiny-qwen3",
        "seeded random Qwen3 of 0.9 M parameters with norms on q and k, for tests",
        "float32",
        0.11,
        3_600_000,
        _config(128, 344, 3, 4, 2, **_TINY) | {"head_dim": 48},
        "qwen3",
    ),
    _published(
        "llama2-7b",
        "meta-llama/Llama-2-7b-hf",
        13_480_000_000,
        _config(4096, 11008, 32, 32, 32, **_LLAMA2),
        dtype="float16",
    ),
    _published(
        "llama2-13b",
        "meta-llama/Llama-2-13b-hf",
        26_030_000_000,
        _config(5120, 13824, 40, 40, 40, **_LLAMA2),
        dtype="float16",
    ),
    _published(
        "llama3.1-8b",
        "meta-llama/Llama-3.1-8B",
        16_060_000_000,
        _config(4096, 14336, 32, 32, 8, **_LLAMA31),
    ),
    _published(
        "mistral-7b",
        "mistralai/Mistral-7B-v0.1",
        14_480_000_000,
        _config(4096, 14336, 32, 32, 8, **_MISTRAL),
        model_type="mistral",
    ),
    _published(
        "qwen2.5-7b",
        "Qwen/Qwen2.5-7B",
        15_230_000_000,
        _config(3584, 18944, 28, 28, 4, vocab_size=152064, max_position_embeddings=131072, **_QWEN),
        model_type="qwen2",
    ),
    _published(
        "qwen3-8b",
        "Qwen/Qwen3-8B",
        16_380_000_000,
        _config(4096, 12288, 36, 32, 8, vocab_size=151936, max_position_embeddings=40960, **_QWEN),
        model_type="qwen3",
    ),
)
