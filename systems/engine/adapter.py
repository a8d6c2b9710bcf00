"""A LoRA adapter in memory, added unmerged to the fused projections.

y = W·x + B·(A·x): the A matrices of targets that read the same x are stacked into one, so a fused
projection costs one product with A and one product per B. The scaling is folded into B.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from systems.errors import AdapterError

from .adapter_files import (
    NOT_FINITE,
    AdapterFiles,
    Key,
    Stamps,
    inspect_adapter,
    parse_key,
    stamps_of,
)
from .config import ModelConfig
from .dtypes import compute_dtype, torch_dtype
from .projections import FUSED, Projection, target_shapes


@dataclass(frozen=True, slots=True)
class Part:
    """One target: y[:, start:stop] += t[:, low:high] @ b, where t = A·x and b is (rank, out)."""

    start: int
    stop: int
    low: int
    high: int
    b: Tensor


@dataclass(frozen=True, slots=True)
class Delta:
    """The adapter of one fused projection. ``a``: (sum of ranks, in)."""

    a: Tensor
    parts: tuple[Part, ...]

    def add_to(self, y: Tensor, x: Tensor) -> Tensor:
        """``y`` += B·A·``x`` in place; ``x`` (rows, in) and ``y`` (rows, out) in one dtype."""
        t = torch.nn.functional.linear(x, self.a)
        if len(self.parts) == 1 and self.parts[0].stop - self.parts[0].start == y.shape[1]:
            return y.addmm_(t, self.parts[0].b)
        for part in self.parts:
            y[:, part.start : part.stop].addmm_(t[:, part.low : part.high], part.b)
        return y


class Addition(Protocol):
    """A change of a projection's output: ``y`` (rows, out) += f(``x``), in place."""

    def add_to(self, y: Tensor, x: Tensor) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class LayerAdapter:
    """The additions to one layer; None: no addition."""

    qkv: Addition | None = None
    o: Addition | None = None
    gate_up: Addition | None = None
    down: Addition | None = None


@dataclass(frozen=True, slots=True)
class AdapterWeights:
    """A whole adapter. ``nbytes``: its size in memory."""

    layers: tuple[LayerAdapter, ...]
    nbytes: int


@dataclass(frozen=True, slots=True)
class StoredPair:
    """The LoRA of one projection: A (rank, in) and B (out, rank); ``scaling``: of B·A."""

    a: Tensor
    b: Tensor
    scaling: float

    @property
    def rank(self) -> int:
        return self.a.shape[0]


@dataclass(frozen=True, slots=True)
class StoredAdapter:
    """A peft directory as stored, memory-mapped, in the stored dtype. Pages are read at first
    access. A projection without a pair is not changed."""

    name: str
    pairs: Mapping[Projection, StoredPair]

    @property
    def rank(self) -> int:
        """The largest rank of a projection."""
        return max(pair.rank for pair in self.pairs.values())

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(sorted({target for _, target in self.pairs}))


def read_adapter(
    adapter_dir: Path, config: ModelConfig, deployed: Stamps | None = None
) -> StoredAdapter:
    """Read an adapter with peft's own loaders. ``deployed``: the file stamps at deployment. Raise
    ``AdapterError`` if it is corrupt, belongs to a backbone of another shape, or has changed since
    it was deployed."""
    files = inspect_adapter(adapter_dir, config)
    if deployed is not None and files.stamps != deployed:
        raise AdapterError(f"{adapter_dir}: changed since it was deployed; deploy it again")
    halves = _load_halves(files)
    if stamps_of(adapter_dir) != files.stamps:
        raise AdapterError(f"{adapter_dir}: changed while it was being loaded")
    pairs = {
        each: StoredPair(halves[*each, "A"], halves[*each, "B"], lora.scaling)
        for each, lora in files.loras.items()
    }
    return StoredAdapter(str(adapter_dir), pairs)


def load_adapter(
    adapter_dir: Path, config: ModelConfig, dtype: str, deployed: Stamps | None = None
) -> AdapterWeights:
    """Read an adapter for a backbone stored as ``dtype``. Raise ``AdapterError`` as
    :func:`read_adapter`, and if a weight is not finite."""
    stored = read_adapter(adapter_dir, config, deployed)
    wanted = torch_dtype(compute_dtype(dtype))
    shapes = target_shapes(config)
    layers = tuple(
        LayerAdapter(
            **{
                name: _delta(stored, index, targets, shapes, wanted)
                for name, targets in FUSED.items()
            }
        )
        for index in range(config.num_layers)
    )
    elements = sum(pair.a.numel() + pair.b.numel() for pair in stored.pairs.values())
    return AdapterWeights(layers, elements * wanted.itemsize)


def check_finite(values: Tensor, what: str) -> None:
    """Raise ``AdapterError`` if any of ``values`` is NaN or infinite: such a value would spread to
    every output of the batch. Synchronizes with the values' device."""
    # One pass without a copy, one transfer of both bounds; aminmax returns NaN if there is a NaN.
    if not all(map(math.isfinite, torch.stack(torch.aminmax(values)).tolist())):
        raise AdapterError(f"{what}: the adapter has {NOT_FINITE} in {values.dtype}")


def _load_halves(files: AdapterFiles) -> dict[Key, Tensor]:
    """Load the tensors with peft."""
    from peft import PeftConfig
    from peft.utils.save_and_load import load_peft_weights

    try:
        PeftConfig.from_pretrained(str(files.path))
        tensors: Mapping[str, Tensor] = load_peft_weights(str(files.path), device="cpu")
    except Exception as error:
        # peft's parsers can raise anything on a tenant's file (such as endless recursion).
        raise AdapterError(f"{files.path}: peft cannot load it: {error}") from error
    return {key: tensor for name, tensor in tensors.items() if (key := parse_key(name))}


def _delta(
    stored: StoredAdapter,
    layer: int,
    targets: Sequence[str],
    shapes: Mapping[str, tuple[int, int]],
    dtype: torch.dtype,
) -> Delta | None:
    halves: list[Tensor] = []
    parts: list[Part] = []
    start = low = 0
    for target in targets:
        stop = start + shapes[target][0]
        pair = stored.pairs.get((layer, target))
        if pair is not None:
            a = pair.a.to(dtype)
            b = (pair.b.to(dtype) * pair.scaling).t().contiguous()
            for values in (a, b):
                check_finite(values, stored.name)
            halves.append(a)
            parts.append(Part(start, stop, low, low + a.shape[0], b))
            low += a.shape[0]
        start = stop
    return Delta(torch.cat(halves), tuple(parts)) if parts else None
