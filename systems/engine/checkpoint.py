"""Reads a Hugging Face checkpoint into one flat buffer that processes can share.

The layout puts q, k and v of a layer next to each other, and gate and up, so each fused projection
is a plain view. Tied embeddings are stored once. Planning reads only headers and needs no torch.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from systems.errors import CheckpointError

from .config import ModelConfig, read_config
from .direct_io import PAGE, STEP, Piece, Source
from .dtypes import ITEMSIZE, torch_dtype
from .safetensors_files import StoredTensor, find_shards, read_headers

ALIGNMENT = 64  # bytes: a cache line, and the widest vector load
READERS = 8

EMBEDDING = "model.embed_tokens.weight"
FINAL_NORM = "model.norm.weight"
HEAD = "lm_head.weight"


class BackboneLayout(BaseModel):
    """The place of each tensor in a buffer of ``nbytes``: name in the checkpoint → (offset in
    bytes, shape). The buffer must be page-aligned."""

    model_config = ConfigDict(frozen=True)

    config: ModelConfig
    dtype: Literal["float32", "bfloat16", "float16"]
    nbytes: int
    tensors: Mapping[str, tuple[int, tuple[int, ...]]]

    @property
    def parameters(self) -> int:
        return sum(math.prod(shape) for _, shape in self.tensors.values())

    def to_json(self) -> str:
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls.model_validate_json(text)


def plan_layout(model_dir: Path, dtype: str) -> BackboneLayout:
    """Plan the layout of a checkpoint in ``dtype``. Raise ``CheckpointError`` if a tensor is
    missing or has another shape than ``config.json`` implies."""
    if dtype not in ITEMSIZE:
        raise CheckpointError(f"dtype {dtype!r} is unknown; known: {', '.join(ITEMSIZE)}")
    config = read_config(model_dir)
    stored_tensors(model_dir, config)
    return lay_out(config, dtype)


def lay_out(config: ModelConfig, dtype: str) -> BackboneLayout:
    """Plan the layout of any backbone of this shape; ``dtype`` is a key of ``ITEMSIZE``."""
    tensors: dict[str, tuple[int, tuple[int, ...]]] = {}
    end = 0
    for group in tensor_groups(config):
        end = _align(end, ALIGNMENT)
        for name, shape in group.items():
            tensors[name] = (end, shape)
            end += math.prod(shape) * ITEMSIZE[dtype]
    return BackboneLayout.model_validate(
        {"config": config, "dtype": dtype, "nbytes": _align(end, PAGE), "tensors": tensors}
    )


def validate_checkpoint(model_dir: Path) -> ModelConfig:
    """Return the model's shape. Raise ``CheckpointError`` if the headers show it cannot load."""
    config = read_config(model_dir)
    stored_tensors(model_dir, config)
    return config


def fill(
    layout: BackboneLayout, model_dir: Path, buffer: memoryview, *, past_cache: bool = False
) -> None:
    """Read the checkpoint into ``buffer`` (writable, at least ``layout.nbytes``) and convert
    tensors stored in another dtype. ``past_cache``: bypass the page cache, for checkpoints that
    are not read again soon. Raise ``CheckpointError`` if it has changed since planning."""
    if buffer.nbytes < layout.nbytes:
        raise CheckpointError(f"buffer of {buffer.nbytes} bytes, the backbone has {layout.nbytes}")
    stored = stored_tensors(model_dir, layout.config)
    flat = buffer.cast("B")
    with ExitStack() as files:
        sources = open_sources({stored[name].path for name in layout.tensors}, files, past_cache)

        def place(name: str) -> None:
            tensor, offset = stored[name], layout.tensors[name][0]
            count = tensor.nbytes // ITEMSIZE[tensor.dtype] * ITEMSIZE[layout.dtype]
            _place(sources[tensor.path], tensor, flat[offset : offset + count], layout.dtype)

        # A read from the page cache is a copy by one core, and a fast disk needs several requests
        # in flight: parallel reads use both. Reading releases the interpreter lock.
        readers = files.enter_context(ThreadPoolExecutor(min(READERS, _cores())))
        for _ in readers.map(place, layout.tensors):
            pass


def open_sources(paths: Iterable[Path], files: ExitStack, past_cache: bool) -> dict[Path, Source]:
    """Open each file until ``files`` closes."""
    sources = {}
    for path in paths:
        sources[path] = Source(path, past_cache=past_cache)
        files.callback(sources[path].close)
    return sources


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def pieces(layout: BackboneLayout, model_dir: Path, most: int) -> list[Piece] | None:
    """Split the whole checkpoint into pieces of up to ``most`` bytes; None if a tensor is stored in
    another dtype and must be converted. Raises ``CheckpointError`` as :func:`fill`."""
    stored = stored_tensors(model_dir, layout.config)
    if any(stored[name].dtype != layout.dtype for name in layout.tensors):
        return None
    found = []
    for name, (at, _) in layout.tensors.items():
        tensor = stored[name]
        for done in range(0, tensor.nbytes, most):
            nbytes = min(most, tensor.nbytes - done)
            found.append(Piece(tensor.path, tensor.offset + done, at + done, nbytes))
    return found


def _place(source: Source, tensor: StoredTensor, target: memoryview, dtype: str) -> None:
    if tensor.dtype == dtype:
        _read(source, tensor, target)
        return
    import torch

    raw = bytearray(tensor.nbytes)
    _read(source, tensor, memoryview(raw))
    stored = torch.frombuffer(raw, dtype=torch_dtype(tensor.dtype))
    torch.frombuffer(target, dtype=torch_dtype(dtype)).copy_(stored)


def _read(source: Source, tensor: StoredTensor, target: memoryview) -> None:
    for done in range(0, tensor.nbytes, STEP):
        part = target[done : done + STEP]
        source.read(Piece(tensor.path, tensor.offset + done, done, len(part)), part)


def stored_tensors(model_dir: Path, config: ModelConfig) -> dict[str, StoredTensor]:
    """Return every tensor of a checkpoint. Raise ``CheckpointError`` as :func:`plan_layout`."""
    found = read_headers(find_shards(model_dir, CheckpointError), CheckpointError)
    for group in tensor_groups(config):
        for name, shape in group.items():
            if name not in found:
                raise CheckpointError(f"{model_dir}: tensor {name} is missing")
            if found[name].shape != shape:
                raise CheckpointError(
                    f"{model_dir}: {name} has shape {list(found[name].shape)},"
                    f" config.json implies {list(shape)}"
                )
    return found


def tensor_groups(config: ModelConfig) -> Iterator[dict[str, tuple[int, ...]]]:
    """Yield groups of tensors that must be contiguous, in order of use."""
    hidden, inner = config.hidden_size, config.intermediate_size
    vocabulary = (config.vocab_size, hidden)
    yield {EMBEDDING: vocabulary}
    for index in range(config.num_layers):
        layer = f"model.layers.{index}."
        attention, mlp = f"{layer}self_attn.", f"{layer}mlp."
        yield {f"{layer}input_layernorm.weight": (hidden,)}
        yield {
            f"{attention}q_proj.weight": (config.q_size, hidden),
            f"{attention}k_proj.weight": (config.kv_size, hidden),
            f"{attention}v_proj.weight": (config.kv_size, hidden),
        }
        yield from _of_heads(config, attention)
        yield {f"{attention}o_proj.weight": (hidden, config.q_size)}
        yield {f"{layer}post_attention_layernorm.weight": (hidden,)}
        yield {f"{mlp}gate_proj.weight": (inner, hidden), f"{mlp}up_proj.weight": (inner, hidden)}
        yield {f"{mlp}down_proj.weight": (hidden, inner)}
    yield {FINAL_NORM: (hidden,)}
    if not config.tie_word_embeddings:
        yield {HEAD: vocabulary}


def _of_heads(config: ModelConfig, attention: str) -> Iterator[dict[str, tuple[int, ...]]]:
    """Yield what the architecture applies to the heads of q, k and v."""
    sizes = {"q": config.q_size, "k": config.kv_size, "v": config.kv_size}
    if config.architecture.qkv_bias:
        yield {f"{attention}{part}_proj.bias": (size,) for part, size in sizes.items()}
    if config.architecture.qk_norm:
        yield {f"{attention}{part}_norm.weight": (config.head_dim,) for part in "qk"}


def _align(offset: int, to: int) -> int:
    return -(-offset // to) * to
