"""What transformers saves is read: every architecture, one file or several, any dtype, tied or not;
and the presets have the shapes that transformers gives their ``config.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from systems.engine.checkpoint import fill, plan_layout, tensor_groups
from systems.engine.config import ModelConfig
from systems.models import ensure_backbone
from systems.models.shapes import SHAPES

TINY = ("tiny-mistral", "tiny-qwen2", "tiny-qwen3")


def filled(model_dir: Path, dtype: str) -> bytearray:
    layout = plan_layout(model_dir, dtype)
    buffer = bytearray(layout.nbytes)
    fill(layout, model_dir, memoryview(buffer))
    return buffer


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", ["1MB", "1GB"])
@pytest.mark.parametrize("name", TINY)
def test_a_checkpoint_that_transformers_saved_is_read_as_it_was(
    name: str, size: str, dtype: str, tmp_path: Path
) -> None:
    preset = ensure_backbone(name)
    model = AutoModelForCausalLM.from_pretrained(preset, dtype=getattr(torch, dtype))
    model.save_pretrained(tmp_path, max_shard_size=size)
    assert (tmp_path / "model.safetensors.index.json").exists() == (size == "1MB")
    assert filled(tmp_path, dtype) == filled(preset, dtype)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_preset_has_the_tensors_that_transformers_expects(shape: Any) -> None:
    fields = {**shape.fields, "num_hidden_layers": 2}
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**fields))
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if fields["tie_word_embeddings"]:
        del wanted["lm_head.weight"]
    config = ModelConfig.model_validate(fields)
    found: dict[str, tuple[int, ...]] = {}
    for group in tensor_groups(config):
        found |= group
    assert found == wanted
