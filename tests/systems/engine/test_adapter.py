"""An adapter is loaded with peft's own loader, or refused in one line."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from systems.engine import adapter as adapter_module
from systems.engine.adapter import load_adapter, read_adapter
from systems.engine.adapter_files import (
    check_values,
    inspect_adapter,
    stamps_of,
    validate_adapter,
)
from systems.engine.config import ModelConfig, read_config
from systems.engine.cuda.slot import AdapterSlot
from systems.engine.packed import SlotShape, pack
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
    assert {lora.scaling for lora in files.loras.values()} == {2.0}
    assert files.targets == ("k_proj", "o_proj", "q_proj", "v_proj")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"peft_type": "IA3"}, "not a LoRA"),
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "bias"),
        ({"rank_pattern": {"q_proj": 2}}, "rank 2 on this backbone"),
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


def spoil(folder: Path, half: str, value: float, dtype: torch.dtype = torch.float32) -> None:
    """Set one weight of the adapter to ``value``, and store all weights as ``dtype``."""
    tensors = load_file(folder / WEIGHTS)
    name = f"base_model.model.model.layers.2.self_attn.v_proj.{half}.weight"
    tensors[name][1, 1] = value
    save_file({key: tensor.to(dtype) for key, tensor in tensors.items()}, folder / WEIGHTS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("half", ["lora_A", "lora_B"])
def test_weights_that_are_no_finite_numbers_are_refused(
    half: str, value: float, dtype: torch.dtype, copy: Path, config: ModelConfig
) -> None:
    spoil(copy, half, value, dtype)
    with pytest.raises(AdapterError, match=f"{copy}: .* not finite numbers in torch.float32"):
        load_adapter(copy, config, "float32")
    with pytest.raises(AdapterError, match=f"v_proj.{half}.weight has .* not finite numbers"):
        check_values(inspect_adapter(copy, config), "bfloat16", "cuda")
    stored = read_adapter(copy, config)
    slot = AdapterSlot(SlotShape.of(config, stored.rank, stored.targets, torch.float32), "cpu")
    with pytest.raises(AdapterError, match=f"{copy}: .* not finite numbers"):
        slot.load(stored)


@pytest.mark.parametrize("value", [6e4, 1e20])
def test_weights_that_become_infinite_when_they_are_loaded_are_refused(
    value: float, copy: Path, config: ModelConfig
) -> None:
    """The stored weights are finite, but not after scaling by two or conversion to float16."""
    spoil(copy, "lora_B", value)
    load_adapter(copy, config, "float32")
    stored, files = read_adapter(copy, config), inspect_adapter(copy, config)
    check_values(files, "float32", "cuda")
    with pytest.raises(AdapterError, match="not finite numbers in float16"):
        check_values(files, "float16", "cuda")
    shape = SlotShape.of(config, stored.rank, stored.targets, torch.float16)
    with pytest.raises(AdapterError, match=r"not finite numbers in torch\.float16"):
        pack(stored, shape)


def test_the_values_of_a_good_adapter_are_good(
    adapters: dict[str, Path], config: ModelConfig
) -> None:
    for dtype in ("float32", "bfloat16", "float16"):
        check_values(inspect_adapter(adapters["f0"], config), dtype, "cuda")


def exchange(copy: Path, tiny: Path) -> None:
    """Replace the adapter by one with a larger rank."""
    larger = ensure_adapters(tiny, ["f0"], rank=64)["f0"]
    shutil.rmtree(copy)
    shutil.copytree(larger, copy)


def rewrite(copy: Path, tiny: Path) -> None:
    """Rewrite the weights in place, with the same length and the old timestamps."""
    path = copy / WEIGHTS
    before = path.stat()
    raw = path.read_bytes()
    path.write_bytes(raw[:-4] + bytes(4))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def resettle(copy: Path, tiny: Path) -> None:
    """Change the scaling factor of the adapter."""
    set_config(copy, lora_alpha=1e6)


@pytest.mark.parametrize("change", [exchange, rewrite, resettle])
def test_one_that_is_not_what_was_deployed_is_refused(
    change: Callable[[Path, Path], None], copy: Path, tiny: Path, config: ModelConfig
) -> None:
    deployed = inspect_adapter(copy, config).stamps
    load_adapter(copy, config, "float32", deployed)
    change(copy, tiny)
    for load in (read_adapter, partial(load_adapter, dtype="float32")):
        with pytest.raises(AdapterError, match=f"{copy}: changed since it was deployed"):
            load(copy, config, deployed=deployed)


def test_one_that_changes_while_it_is_loaded_is_refused(
    copy: Path, tiny: Path, config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = adapter_module._load_halves

    def exchanging(files: Any) -> Any:
        exchange(copy, tiny)
        return load(files)

    monkeypatch.setattr(adapter_module, "_load_halves", exchanging)
    with pytest.raises(AdapterError, match="changed while it was being loaded"):
        read_adapter(copy, config, stamps_of(copy))
