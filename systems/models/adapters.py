"""Generates seeded LoRA adapters for a backbone, in peft's format."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from systems.engine.adapter_files import target_shapes
from systems.engine.checkpoint import validate_checkpoint
from systems.engine.config import ModelConfig
from systems.engine.safetensors_files import find_shards, read_headers
from systems.errors import AdapterError, CheckpointError
from workloads.streams import stream

from .cache import adapters_root, make_once

if TYPE_CHECKING:
    from torch import Tensor

REVISION = 1

# How far an adapter moves the output of each projection, in standard deviations of that output:
# enough to change the output of a small model, but not so much that the text stops making sense.
STRENGTH = 0.2


def ensure_adapters(
    backbone_dir: Path,
    names: Sequence[str],
    rank: int = 16,
    targets: Sequence[str] = ("q_proj", "k_proj", "v_proj", "o_proj"),
    seed: int = 0,
) -> dict[str, Path]:
    """Return a peft directory for each name, generated once. The adapter of a name depends on the
    name, ``rank``, ``targets``, ``seed`` and the backbone's shape, not on the other names."""
    config = validate_checkpoint(backbone_dir)
    unknown = [target for target in targets if target not in target_shapes(config)]
    if unknown or not targets or rank < 1:
        raise AdapterError(
            f"adapters of rank {rank} on {', '.join(targets) or 'nothing'}: rank must be positive,"
            f" targets among {', '.join(target_shapes(config))}"
        )
    letters = "".join(target[0] for target in targets)
    folder = f"r{REVISION}-rank{rank}-{letters}-seed{seed}"
    root = adapters_root(backbone_dir) / folder
    return {
        name: make_once(
            root / name, partial(_make, backbone_dir, config, name, rank, targets, seed)
        )
        for name in names
    }


def remake_seeded(made: Path, backbone_dir: Path) -> Path | None:
    """Generate on this machine the adapter that :func:`ensure_adapters` made at ``made``, maybe on
    another machine, for ``backbone_dir``. Return None if it was not made by that function."""
    found = re.fullmatch(rf"r{REVISION}-rank(\d+)-([a-z]+)-seed(\d+)", made.parent.name)
    if found is None:
        return None
    rank, letters, seed = found.groups()
    known = {target[0]: target for target in target_shapes(validate_checkpoint(backbone_dir))}
    targets = [known[letter] for letter in letters]
    return ensure_adapters(backbone_dir, [made.name], int(rank), targets, int(seed))[made.name]


def _make(
    backbone_dir: Path,
    config: ModelConfig,
    name: str,
    rank: int,
    targets: Sequence[str],
    seed: int,
    folder: Path,
) -> None:
    from safetensors.torch import save_file

    settings, keys = _peft(backbone_dir, rank, targets)
    spreads = {target: _spread(backbone_dir, config, target) for target in targets}
    tensors = {
        key: _half(key, shape, rank, spreads, seed, name) for key, shape in sorted(keys.items())
    }
    settings.save_pretrained(folder)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def _peft(
    backbone_dir: Path, rank: int, targets: Sequence[str]
) -> tuple[Any, dict[str, tuple[int, ...]]]:
    """Return peft's settings, and the names and shapes that it would save. Found by letting peft
    wrap the backbone without weights."""
    import torch
    from peft import LoraConfig, LoraModel
    from peft.utils import get_peft_model_state_dict
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules=list(targets),
        task_type="CAUSAL_LM",
        inference_mode=True,
        base_model_name_or_path=str(backbone_dir),
    )
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(
            AutoConfig.from_pretrained(backbone_dir, local_files_only=True)
        )
        # Not get_peft_model: it uses an API that transformers has deprecated, which warns.
        wrapped = LoraModel(empty, settings, "default", low_cpu_mem_usage=True)
    state = get_peft_model_state_dict(wrapped)
    return settings, {f"base_model.{name}": tuple(each.shape) for name, each in state.items()}


def _half(
    key: str,
    shape: tuple[int, ...],
    rank: int,
    spreads: dict[str, float],
    seed: int,
    name: str,
) -> Tensor:
    """Scale A so that A·x has the spread of x, and B so that B·A·x has ``STRENGTH`` times that of
    W·x. (peft multiplies by alpha / rank = 2; a sum over the rank has √rank times its terms'.)"""
    import torch

    inner = shape[1]
    if "lora_A" in key:
        std = inner**-0.5
    else:
        target = next(target for target in spreads if target in key)
        std = STRENGTH * spreads[target] / (2 * rank**0.5)
    values = stream(seed, "adapter", name, key).standard_normal(shape, dtype="float32")
    return torch.from_numpy(values).mul_(std)


def _spread(backbone_dir: Path, config: ModelConfig, target: str) -> float:
    """Return the standard deviation of W·x for x of unit variance, measured in the middle layer."""
    from safetensors import safe_open

    stored = read_headers(find_shards(backbone_dir, CheckpointError), CheckpointError)
    layer = f".layers.{config.num_layers // 2}."
    name = next(name for name in stored if layer in name and name.endswith(f".{target}.weight"))
    with safe_open(stored[name].path, framework="pt") as file:
        weight: Tensor = file.get_tensor(name).float()
    return float(weight.std()) * math.sqrt(weight.shape[1])
