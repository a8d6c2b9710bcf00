"""Generates seeded LoRA adapters for a backbone, in peft's format."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from systems.engine.checkpoint import validate_checkpoint
from systems.engine.config import ModelConfig
from systems.engine.dtypes import torch_dtype
from systems.engine.projections import target_shapes
from systems.engine.safetensors_files import find_shards, read_headers
from systems.errors import AdapterError, CheckpointError
from workloads.streams import stream

from .adapter_forms import ATTENTION, FORMS, AdapterForm
from .cache import adapters_root, make_once

if TYPE_CHECKING:
    from numpy.random import Generator
    from torch import Tensor

REVISION = 1

# How far an adapter moves the output of each projection, in standard deviations of that output:
# enough to change the output of a small model, but not so much that the text stops making sense.
STRENGTH = 0.2


def ensure_adapters(
    backbone_dir: Path,
    names: Sequence[str],
    rank: int = 16,
    targets: Sequence[str] = ATTENTION,
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
    folder = _folder(rank, targets, seed)
    settings = {**FORMS["plain"].settings(rank, 0), "target_modules": list(targets)}
    return _ensure(backbone_dir, config, names, folder, settings, "float32", seed)


def missing_adapters(
    backbone_dir: Path, names: Sequence[str], rank: int = 16, seed: int = 0
) -> list[str]:
    """Return the names whose adapters :func:`ensure_adapters` would generate."""
    root = adapters_root(backbone_dir) / _folder(rank, ATTENTION, seed)
    return [name for name in names if not (root / name).is_dir()]


def _folder(rank: int, targets: Sequence[str], seed: int) -> str:
    letters = "".join(target[0] for target in targets)
    return f"r{REVISION}-rank{rank}-{letters}-seed{seed}"


def ensure_form(
    backbone_dir: Path, names: Sequence[str], form: str, rank: int = 16, seed: int = 0
) -> dict[str, Path]:
    """Return peft directories as :func:`ensure_adapters`, of one of ``FORMS``; ``rank`` is the
    largest. Raise ``AdapterError`` if there is no such form."""
    if form not in FORMS or rank < 1:
        raise AdapterError(
            f"adapters of form {form!r} and rank {rank}: rank must be positive, form one of"
            f" {', '.join(FORMS)}"
        )
    chosen: AdapterForm = FORMS[form]
    config = validate_checkpoint(backbone_dir)
    settings = chosen.settings(rank, config.num_layers)
    folder = f"r{REVISION}-{form}-rank{rank}-seed{seed}"
    return _ensure(backbone_dir, config, names, folder, settings, chosen.dtype, seed)


def remake_seeded(made: Path, backbone_dir: Path) -> Path | None:
    """Generate on this machine the adapter that :func:`ensure_adapters` or :func:`ensure_form` made
    at ``made``, maybe on another machine, for ``backbone_dir``. Return None if neither did."""
    of_form = re.fullmatch(rf"r{REVISION}-([a-z-]+)-rank(\d+)-seed(\d+)", made.parent.name)
    if of_form is not None and of_form[1] in FORMS:
        form, rank, seed = of_form.groups()
        return ensure_form(backbone_dir, [made.name], form, int(rank), int(seed))[made.name]
    found = re.fullmatch(rf"r{REVISION}-rank(\d+)-([a-z]+)-seed(\d+)", made.parent.name)
    if found is None:
        return None
    rank, letters, seed = found.groups()
    known = {target[0]: target for target in target_shapes(validate_checkpoint(backbone_dir))}
    targets = [known[letter] for letter in letters]
    return ensure_adapters(backbone_dir, [made.name], int(rank), targets, int(seed))[made.name]


def _ensure(
    backbone_dir: Path,
    config: ModelConfig,
    names: Sequence[str],
    folder: str,
    settings: Mapping[str, Any],
    dtype: str,
    seed: int,
) -> dict[str, Path]:
    """Make adapters with the arguments ``settings`` of peft's ``LoraConfig``."""
    root = adapters_root(backbone_dir) / folder
    # Once for all adapters, and only if one is missing: it takes as long as writing several.
    form = cache(partial(_form, backbone_dir, config, settings))

    def make(name: str, into: Path) -> None:
        form().write(into, lambda key: stream(seed, "adapter", name, key), dtype)

    return {name: make_once(root / name, partial(make, name)) for name in names}


@dataclass(frozen=True, slots=True)
class _Form:
    """What adapters with equal settings have in common. ``chosen``: peft's settings; ``spreads``:
    standard deviation of W·x by target."""

    chosen: Any
    halves: Mapping[str, _Half]
    spreads: Mapping[str, float]

    def write(self, folder: Path, draws: Callable[[str], Generator], dtype: str) -> None:
        """Write an adapter whose tensors have values of their own ``draws``."""
        from safetensors.torch import save_file

        tensors = {
            key: _values(half, self.spreads[half.target], draws(key), dtype)
            for key, half in sorted(self.halves.items())
        }
        self.chosen.save_pretrained(folder)
        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def _form(backbone_dir: Path, config: ModelConfig, settings: Mapping[str, Any]) -> _Form:
    chosen, halves = _peft(backbone_dir, settings)
    targets = sorted({half.target for half in halves.values()})
    return _Form(chosen, halves, {each: _spread(backbone_dir, config, each) for each in targets})


@dataclass(frozen=True, slots=True)
class _Half:
    """A or B of a projection, as peft saves it."""

    target: str
    shape: tuple[int, ...]
    scaling: float
    is_a: bool


def _peft(backbone_dir: Path, settings: Mapping[str, Any]) -> tuple[Any, dict[str, _Half]]:
    """Return peft's settings, and what it would save by name. Found by letting peft wrap the
    backbone without weights."""
    import torch
    from peft import LoraConfig, LoraModel
    from peft.utils import get_peft_model_state_dict
    from transformers import AutoConfig, AutoModelForCausalLM

    chosen = LoraConfig(
        **settings,
        task_type="CAUSAL_LM",
        inference_mode=True,
        base_model_name_or_path=str(backbone_dir),
    )
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(
            AutoConfig.from_pretrained(backbone_dir, local_files_only=True)
        )
        # Not get_peft_model: it uses an API that transformers has deprecated, which warns.
        wrapped = LoraModel(empty, chosen, "default", low_cpu_mem_usage=True)
    scalings = {
        name: module.scaling["default"]
        for name, module in wrapped.named_modules()
        if hasattr(module, "lora_A")
    }
    halves = {}
    for name, tensor in get_peft_model_state_dict(wrapped).items():
        module, _, half = name.removesuffix(".weight").rpartition(".")
        target, shape = module.rpartition(".")[2], tuple(tensor.shape)
        halves[f"base_model.{name}"] = _Half(target, shape, scalings[module], half == "lora_A")
    return chosen, halves


def _values(half: _Half, spread: float, draws: Generator, dtype: str) -> Tensor:
    """Scale A so that A·x has the spread of x, and B so that scaling·B·A·x has ``STRENGTH`` times
    that of W·x, which is ``spread``. (A sum over the rank has √rank times its terms'.)"""
    import torch

    inner = half.shape[1]
    std = inner**-0.5 if half.is_a else STRENGTH * spread / (half.scaling * inner**0.5)
    values = draws.standard_normal(half.shape, dtype="float32")
    return torch.from_numpy(values).mul_(std).to(torch_dtype(dtype))


def _spread(backbone_dir: Path, config: ModelConfig, target: str) -> float:
    """Return the standard deviation of W·x for x of unit variance, measured in the middle layer."""
    from safetensors import safe_open

    stored = read_headers(find_shards(backbone_dir, CheckpointError), CheckpointError)
    layer = f".layers.{config.num_layers // 2}."
    name = next(name for name in stored if layer in name and name.endswith(f".{target}.weight"))
    with safe_open(stored[name].path, framework="pt") as file:
        weight: Tensor = file.get_tensor(name).float()
    return float(weight.std()) * math.sqrt(weight.shape[1])
