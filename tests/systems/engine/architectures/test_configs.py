"""What a ``config.json`` of each architecture means, defaults of transformers included."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import AutoConfig

from systems.engine.architectures.registry import ARCHITECTURES
from systems.engine.config import ModelConfig

SMALL = {
    "vocab_size": 1024,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 32,
}
USED = {"use_sliding_window": True, "sliding_window": 24, "max_window_layers": 1}
FULL, SLIDING = "full_attention", "sliding_attention"


def read(model_type: str, **fields: Any) -> ModelConfig:
    return ModelConfig.model_validate({"model_type": model_type, **SMALL, **fields})


@pytest.mark.parametrize(
    ("model_type", "fields"),
    [
        *((each, {}) for each in ARCHITECTURES),
        ("mistral", {"sliding_window": None, "num_key_value_heads": 4}),
        ("mistral", {"sliding_window": 7, "head_dim": 16}),
        ("qwen2", USED),
        ("qwen3", {**USED, "max_window_layers": 9}),
        ("qwen3", {**USED, "layer_types": [FULL, SLIDING, SLIDING, SLIDING], "head_dim": 64}),
        ("qwen2", {"layer_types": [FULL] * 4, "num_key_value_heads": 4}),
    ],
)
def test_missing_fields_and_windows_are_those_of_transformers(
    model_type: str, fields: dict[str, Any]
) -> None:
    found = read(model_type, **fields)
    right = AutoConfig.for_model(model_type, **SMALL, **fields)
    assert found.num_kv_heads == right.num_key_value_heads
    assert found.rms_norm_eps == right.rms_norm_eps
    assert found.max_positions == right.max_position_embeddings
    assert found.rope.theta == right.rope_parameters["rope_theta"]
    head_dim = getattr(right, "head_dim", None) or right.hidden_size // right.num_attention_heads
    assert found.head_dim == head_dim
    kinds = getattr(right, "layer_types", None) or [FULL if model_type == "llama" else SLIDING] * 4
    windows = [right.sliding_window if kind == SLIDING else None for kind in kinds]
    assert [found.window_of(layer) for layer in range(4)] == windows
    assert found.windows == set(windows)
    assert ModelConfig.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    ("model_type", "fields", "says"),
    [
        ("qwen2", {**USED, "layer_types": [SLIDING, FULL] * 2}, r"layer_types: layer 0 is 'slid"),
        ("qwen3", {"layer_types": [SLIDING] * 4}, "layer_types: layer 0 is"),
        ("qwen3", {"layer_types": 4}, "layer_types must be a list"),
        ("qwen3", {"attention_bias": True}, "attention_bias"),
        ("mistral", {"sliding_window": 0}, "sliding_window"),
        ("qwen2", {**USED, "sliding_window": "wide"}, "sliding_window"),
        ("qwen2", {**USED, "max_window_layers": -1}, "max_window_layers"),
        ("qwen2", {**USED, "max_window_layers": None}, "max_window_layers"),
        ("qwen2_moe", {}, "model_type"),
        (["llama"], {}, "model_type"),
    ],
)
def test_what_the_engine_does_not_run_is_refused(
    model_type: Any, fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        read(model_type, **fields)
