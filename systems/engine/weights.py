"""The backbone's tensors: views of one flat buffer, without copies."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .checkpoint import EMBEDDING, FINAL_NORM, HEAD, BackboneLayout
from .config import ModelConfig
from .dtypes import torch_dtype


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One decoder layer. Matrices are (out, in); ``qkv`` and ``gate_up`` are stacked by rows.
    ``qkv_bias``: (out,); ``qk_norm``: (2, head_dim), of q and of k; None: the architecture has
    none."""

    input_norm: Tensor
    qkv: Tensor
    o: Tensor
    post_norm: Tensor
    gate_up: Tensor
    down: Tensor
    qkv_bias: Tensor | None = None
    qk_norm: Tensor | None = None


@dataclass(frozen=True, slots=True)
class BackboneWeights:
    """The whole backbone. Do not write to it: the buffer may be mapped into many processes, and if
    it is mapped without ``PROT_WRITE``, a write kills the process with SIGSEGV."""

    config: ModelConfig
    dtype: torch.dtype
    embedding: Tensor
    layers: tuple[LayerWeights, ...]
    norm: Tensor
    head: Tensor

    @classmethod
    def from_buffer(
        cls, layout: BackboneLayout, buffer: Any, device: str = "cpu"
    ) -> BackboneWeights:
        """Return views of ``buffer`` (any buffer-protocol object, read-only or not), which keep it
        alive. Buffers are host memory; raise ``ValueError`` for another ``device`` than cpu."""
        if device != "cpu":
            raise ValueError(f"device {device!r}: a host buffer gives weights on cpu only")
        return cls.from_flat(layout, bytes_of(buffer))

    @classmethod
    def from_flat(cls, layout: BackboneLayout, flat: Tensor) -> BackboneWeights:
        """Return views of ``flat``: uint8, at least ``layout.nbytes``, on any device."""
        views = _Views(layout, flat)
        config = layout.config
        embedding = views.one(EMBEDDING)
        return cls(
            config=config,
            dtype=torch_dtype(layout.dtype),
            embedding=embedding,
            layers=tuple(_layer(views, config, index) for index in range(config.num_layers)),
            norm=views.one(FINAL_NORM),
            head=embedding if config.tie_word_embeddings else views.one(HEAD),
        )


def _layer(views: _Views, config: ModelConfig, index: int) -> LayerWeights:
    layer = f"model.layers.{index}."
    attention, mlp = f"{layer}self_attn.", f"{layer}mlp."
    return LayerWeights(
        input_norm=views.one(f"{layer}input_layernorm.weight"),
        qkv=views.stacked(*(f"{attention}{part}_proj.weight" for part in "qkv")),
        o=views.one(f"{attention}o_proj.weight"),
        post_norm=views.one(f"{layer}post_attention_layernorm.weight"),
        gate_up=views.stacked(f"{mlp}gate_proj.weight", f"{mlp}up_proj.weight"),
        down=views.one(f"{mlp}down_proj.weight"),
        **_of_heads(views, config, attention),
    )


def _of_heads(views: _Views, config: ModelConfig, attention: str) -> dict[str, Tensor]:
    found = {}
    if config.architecture.qkv_bias:
        found["qkv_bias"] = views.stacked(*(f"{attention}{part}_proj.bias" for part in "qkv"))
    if config.architecture.qk_norm:
        norms = views.stacked(*(f"{attention}{part}_norm.weight" for part in "qk"))
        found["qk_norm"] = norms.view(2, config.head_dim)
    return found


class _Views:
    def __init__(self, layout: BackboneLayout, flat: Tensor) -> None:
        self._tensors = layout.tensors
        self._elements = flat[: layout.nbytes].view(torch_dtype(layout.dtype))

    def one(self, name: str) -> Tensor:
        return self.stacked(name)

    def stacked(self, *names: str) -> Tensor:
        """Return contiguous tensors as one, concatenated along their first dimension."""
        offset, first = self._tensors[names[0]]
        shape = (sum(self._tensors[name][1][0] for name in names), *first[1:])
        start = offset // self._elements.element_size()
        return self._elements[start : start + math.prod(shape)].view(shape)


def bytes_of(buffer: Any) -> Tensor:
    """Return a buffer, which may be read-only, as a tensor of bytes without copying it."""
    with warnings.catch_warnings():
        # torch has no read-only tensors and warns about it. Nothing here writes, and a mapping
        # without PROT_WRITE enforces that.
        warnings.filterwarnings("ignore", "The given buffer is not writable", UserWarning)
        return torch.frombuffer(buffer, dtype=torch.uint8)
