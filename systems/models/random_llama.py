"""Llamas of a given shape with seeded random weights, one file per layer."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from systems.engine.checkpoint import tensor_groups
from systems.engine.config import read_config
from workloads.streams import stream

from .byte_tokenizer import BOS_ID, EOS_ID, PAD_ID, save_tokenizer

if TYPE_CHECKING:
    import torch

SEED = 20260
WRITERS = 8


@dataclass(frozen=True, slots=True)
class Shape:
    """The fields of a ``config.json``. ``std``: standard deviation of the weights."""

    name: str
    summary: str
    dtype: str
    std: float
    nbytes: int
    config: Mapping[str, Any] = field(default_factory=dict)


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


_LLAMA2 = {"vocab_size": 32000, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5}

SHAPES = (
    Shape(
        "tiny",
        "seeded random Llama of 3.3 M parameters with grouped queries, for tests",
        "float32",
        0.08,
        13_000_000,
        _config(256, 688, 4, 8, 2, vocab_size=1024, max_position_embeddings=2048),
    ),
    Shape(
        "llama2-7b",
        "the shape of Llama-2-7B, seeded random weights",
        "float16",
        0.02,
        13_480_000_000,
        _config(4096, 11008, 32, 32, 32, **_LLAMA2),
    ),
    Shape(
        "llama2-13b",
        "the shape of Llama-2-13B, seeded random weights",
        "float16",
        0.02,
        26_030_000_000,
        _config(5120, 13824, 40, 40, 40, **_LLAMA2),
    ),
)


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
    if len(size) == 1:
        return torch.ones(size, dtype=dtype)
    seed = int(stream(SEED, shape.name, name).integers(2**63))
    generator = torch.Generator().manual_seed(seed)
    return torch.empty(size).normal_(0, shape.std, generator=generator).to(dtype)


def _write_config(shape: Shape, target: Path) -> None:
    common = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "initializer_range": shape.std,
        "dtype": shape.dtype,
    }
    special = {"bos_token_id": BOS_ID, "eos_token_id": EOS_ID, "pad_token_id": PAD_ID}
    _write_json(target / "config.json", {**common, **shape.config, **special})
    _write_json(target / "generation_config.json", special)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
