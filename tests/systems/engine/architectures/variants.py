"""The models that are compared: a preset for each architecture, and other settings of its
``config.json``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from systems.models import ensure_backbone
from tests.systems.engine.conftest import load_oracle

from .forms import FORMS, make_adapter

WINDOW = 24


@dataclass(frozen=True)
class Variant:
    preset: str
    changes: Mapping[str, Any] = field(default_factory=dict)


_LAST_LAYERS = {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 2}
_LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}

VARIANTS = {
    "llama": Variant("tiny"),
    "llama3": Variant("tiny", {"rope_scaling": _LLAMA3}),
    "mistral": Variant("tiny-mistral"),
    "mistral-no-window": Variant("tiny-mistral", {"sliding_window": None}),
    "qwen2": Variant("tiny-qwen2"),
    "qwen2-window": Variant("tiny-qwen2", _LAST_LAYERS),
    "qwen3": Variant("tiny-qwen3"),
    "qwen3-window": Variant("tiny-qwen3", _LAST_LAYERS),
}


@dataclass(frozen=True)
class Model:
    """A variant on disk and its adapters by form. ``peft_model``: transformers' and peft's model of
    them in float32, by form and by the dtype that the backbone's weights are rounded to first;
    ``oracle``: its logits [tokens, vocabulary], by tokens too."""

    path: Path
    adapters: Mapping[str, Path]
    peft_model: Callable[[str, str], Any]
    oracle: Callable[[str, str, tuple[int, ...]], Tensor]


def make(name: str, folder: Path) -> Model:
    """Make a variant; ``folder`` is for a checkpoint whose ``config.json`` differs."""
    variant = VARIANTS[name]
    preset = path = ensure_backbone(variant.preset)
    if variant.changes:
        path = Path(shutil.copytree(preset, folder / name))
        fields = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps(fields | dict(variant.changes)))
    adapters = {form: make_adapter(preset, form) for form in FORMS}

    @cache
    def model(form: str, rounded: str) -> Any:
        return load_oracle(path, adapters.get(form), rounded)

    @cache
    @torch.inference_mode()
    def oracle(form: str, rounded: str, tokens: tuple[int, ...]) -> Tensor:
        """Computed once: engines of all levels choose the same tokens."""
        logits: Tensor = model(form, rounded)(input_ids=torch.tensor([tokens])).logits[0]
        return logits

    return Model(path, adapters, model, oracle)
