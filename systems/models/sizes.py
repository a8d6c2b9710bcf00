"""Sizes of a backbone and its adapters, computed from the model's shape alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from systems.engine.checkpoint import tensor_groups
from systems.engine.config import ModelConfig, read_config
from systems.engine.dtypes import ITEMSIZE, compute_dtype
from systems.engine.projections import target_shapes

from .hub import directory
from .presets import ensure_backbone, preset_names
from .shapes import SHAPES

ADAPTED = ("q_proj", "k_proj", "v_proj", "o_proj")
"""The projections that generated adapters change (those of the paper are unknown)."""


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Sizes of a backbone in one dtype and of an adapter for it."""

    vocab_size: int
    parameters: int
    weights_bytes: int
    kv_bytes_per_token: int
    adapter_bytes: int
    adapted_bytes: int
    """Size of the projections that adapters change; merging keeps a second copy of them."""


def model_size(name: str, dtype: str, adapter_rank: int, device: str) -> ModelSize:
    """Compute the sizes of a preset or directory on a ``cpu`` or ``cuda`` device. No weights are
    read. Raise ``CheckpointError`` as :func:`config_of`."""
    config = config_of(name)
    parameters = sum(
        math.prod(shape) for group in tensor_groups(config) for shape in group.values()
    )
    shapes_of = target_shapes(config)
    adapter = config.num_layers * adapter_rank * sum(sum(shapes_of[name]) for name in ADAPTED)
    adapted = config.num_layers * sum(math.prod(shapes_of[name]) for name in ADAPTED)
    computed = ITEMSIZE[compute_dtype(dtype, device)]
    return ModelSize(
        config.vocab_size,
        parameters,
        parameters * ITEMSIZE[dtype],
        config.kv_bytes_per_token(dtype, device),
        adapter * computed,
        adapted * ITEMSIZE[dtype],
    )


def config_of(name: str) -> ModelConfig:
    """Return the shape of a preset or of a directory with a ``config.json``. A preset with random
    weights need not have been made, and a directory needs no weights. Raise ``CheckpointError`` for
    what is neither, and if the engine cannot run such a model."""
    shapes = {shape.name: shape for shape in SHAPES}
    if name in shapes:
        return ModelConfig.model_validate(shapes[name].fields)
    folder = directory(name)
    if name in preset_names() or not folder.is_dir():
        folder = ensure_backbone(name)
    return read_config(folder)
