"""Backbones of a given shape with seeded random weights, one file per layer."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from systems.engine.checkpoint import tensor_groups
from systems.engine.config import read_config
from workloads.streams import stream

from .byte_tokenizer import save_tokenizer
from .shapes import SPECIAL, Shape

if TYPE_CHECKING:
    import torch

SEED = 20260
WRITERS = 8


_VECTORS = {".bias": (0.0, 0.5), "_norm.weight": (1.0, 0.2)}
"""Mean and standard deviation of what is no matrix, by the end of its name. Large enough that
tokens depend on it."""


def make(shape: Shape, target: Path) -> None:
    """Write the whole directory. A few threads each hold one layer, or the embedding, in memory.
    Every tensor has its own random stream, so the result does not depend on the threads."""
    _write_config(shape, target)
    shards = {f"model-{number:05d}.safetensors": g for number, g in enumerate(_shards(target))}
    with ThreadPoolExecutor(min(WRITERS, len(os.sched_getaffinity(0)))) as writers:
        names = [target / name for name in shards]
        total = sum(writers.map(partial(_write_shard, shape), shards.values(), names))
    weight_map = {tensor: name for name, group in shards.items() for tensor in group}
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    _write_json(target / "model.safetensors.index.json", index)
    save_tokenizer(target, shape.config["vocab_size"])


def _shards(target: Path) -> Iterator[dict[str, tuple[int, ...]]]:
    """Yield the tensors of each file: the embedding, each layer, the rest."""
    shard: dict[str, tuple[int, ...]] = {}
    layer = ""
    for group in tensor_groups(read_config(target)):
        name = next(iter(group))
        here = ".".join(name.split(".")[:3])
        if here != layer and shard:
            yield shard
            shard = {}
        layer = here
        shard |= group
    yield shard


def _write_shard(shape: Shape, tensors: Mapping[str, tuple[int, ...]], path: Path) -> int:
    """Write a file of tensors; return their size in bytes."""
    from safetensors.torch import save_file

    made = {name: _tensor(shape, name, size) for name, size in tensors.items()}
    save_file(made, path, metadata={"format": "pt"})
    return sum(tensor.nbytes for tensor in made.values())


def _tensor(shape: Shape, name: str, size: tuple[int, ...]) -> torch.Tensor:
    import torch

    dtype: torch.dtype = getattr(torch, shape.dtype)
    mean, std = _spread(shape, name, size)
    if std == 0.0:
        return torch.full(size, mean, dtype=dtype)
    seed = int(stream(SEED, shape.name, name).integers(2**63))
    generator = torch.Generator().manual_seed(seed)
    return torch.empty(size).normal_(mean, std, generator=generator).to(dtype)


def _spread(shape: Shape, name: str, size: tuple[int, ...]) -> tuple[float, float]:
    """Return mean and standard deviation of a tensor's values."""
    if len(size) > 1:
        return 0.0, shape.std
    return next((found for end, found in _VECTORS.items() if name.endswith(end)), (1.0, 0.0))


def _write_config(shape: Shape, target: Path) -> None:
    _write_json(target / "config.json", shape.fields)
    _write_json(target / "generation_config.json", SPECIAL)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
