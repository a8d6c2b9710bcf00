"""An adapter is loaded by peft's own code, or refused in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from systems.engine.adapter import load_adapter
from systems.engine.adapter_files import inspect_adapter, validate_adapter
from systems.engine.config import ModelConfig, read_config
from systems.errors import AdapterError
from systems.models import ensure_adapters

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def config(tiny: Path) -> ModelConfig:
    return read_config(tiny)


@pytest.fixture
def copy(adapters: dict[str, Path], tmp_path: Path) -> Path:
    target = tmp_path / "adapter"
    shutil.copytree(adapters["f0"], target)
    return target


def set_config(folder: Path, **changes: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_its_size_is_known_before_it_is_loaded(
    adapters: dict[str, Path], config: ModelConfig
) -> None:
    files = inspect_adapter(adapters["f0"], config)
    loaded = load_adapter(adapters["f0"], config, "bfloat16")
    assert files.nbytes("bfloat16") == loaded.nbytes
    held = {
        id(tensor): tensor.nbytes
        for layer in loaded.layers
        for delta in (layer.qkv, layer.o)
        if delta
        for tensor in (delta.a, *(part.b for part in delta.parts))
    }
    assert sum(held.values()) == loaded.nbytes
    assert files.rank == 16
    assert files.scaling == 2.0
    assert files.targets == ("k_proj", "o_proj", "q_proj", "v_proj")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"peft_type": "IA3"}, "not a LoRA"),
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "bias"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
        ({"r": 8}, "rank 8"),
        ({"r": 0}, "r must be"),
        ({"lora_alpha": "much"}, "lora_alpha"),
    ],
)
def test_settings_that_the_engine_does_not_compute_are_refused(
    changes: dict[str, Any], says: str, copy: Path, config: ModelConfig
) -> None:
    set_config(copy, **changes)
    with pytest.raises(AdapterError, match=says) as refusal:
        validate_adapter(copy, config)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_layers": 3}, "another backbone"),
        ({"num_layers": 6}, "another backbone"),
        ({"hidden_size": 512}, "another backbone"),
        ({"num_kv_heads": 4}, "another backbone"),
    ],
)
def test_an_adapter_of_another_backbone_is_refused(
    changes: dict[str, int], says: str, copy: Path, config: ModelConfig
) -> None:
    other = config.model_copy(update=changes)
    with pytest.raises(AdapterError, match=says):
        load_adapter(copy, other, "float32")


def rename(tensors: dict[str, torch.Tensor], old: str, new: str) -> dict[str, torch.Tensor]:
    return {name.replace(old, new): tensor for name, tensor in tensors.items()}


def test_unknown_targets_and_missing_halves_are_refused(copy: Path, config: ModelConfig) -> None:
    tensors = load_file(copy / WEIGHTS)
    save_file(rename(tensors, "q_proj", "z_proj"), copy / WEIGHTS)
    with pytest.raises(AdapterError, match="z_proj"):
        validate_adapter(copy, config)
    save_file(rename(tensors, "lora_A", "lora_magnitude_vector"), copy / WEIGHTS)
    with pytest.raises(AdapterError, match="not a LoRA"):
        validate_adapter(copy, config)
    save_file(
        {name: t for name, t in tensors.items() if "3.self_attn.q_proj.lora_B" not in name},
        copy / WEIGHTS,
    )
    with pytest.raises(AdapterError, match="both lora_A and lora_B"):
        validate_adapter(copy, config)


def test_missing_corrupt_and_pickled_files_are_refused(copy: Path, config: ModelConfig) -> None:
    whole = (copy / WEIGHTS).read_bytes()
    (copy / WEIGHTS).write_bytes(whole[:-10])
    with pytest.raises(AdapterError, match="cut short"):
        load_adapter(copy, config, "float32")
    (copy / WEIGHTS).unlink()
    with pytest.raises(AdapterError, match=f"no {WEIGHTS}"):
        validate_adapter(copy, config)
    (copy / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(AdapterError, match="pickled"):
        validate_adapter(copy, config)
    (copy / "adapter_config.json").write_text("{")
    with pytest.raises(AdapterError, match="cannot be read"):
        validate_adapter(copy, config)
    with pytest.raises(AdapterError, match="peft directory"):
        validate_adapter(copy / "nowhere", config)


def test_targets_that_a_llama_lacks_are_refused_when_made(tiny: Path) -> None:
    with pytest.raises(AdapterError, match="z_proj"):
        ensure_adapters(tiny, ["f0"], targets=("z_proj",))
