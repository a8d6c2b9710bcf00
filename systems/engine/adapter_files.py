"""Checks a peft LoRA directory against a backbone, from file headers alone (no torch)."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from systems.errors import AdapterError

from .adapter_rules import Lora, adapted
from .adapter_settings import CONFIG, read_settings
from .config import ModelConfig
from .dtypes import ITEMSIZE, compute_dtype
from .projections import BLOCKS, Projection, module_name, projections, target_shapes
from .safetensors_files import StoredTensor, largest_value, read_header

WEIGHTS = "adapter_model.safetensors"

_KEY = re.compile(
    r"base_model\.model\.model\.layers\.(0|[1-9][0-9]{0,8})\.(\w+)\.(\w+)\.lora_(A|B)\.weight",
    re.ASCII,
)
_OTHERS = ("model.embed_tokens", "lm_head")
"""Modules that peft can adapt, but the engine cannot."""

NOT_FINITE = "values that are not finite numbers"
_LARGEST = {"float32": 3.4028234e38, "bfloat16": 3.3895313e38, "float16": 65504.0}

Stamps = tuple[tuple[int, ...], ...]
"""For each file, values that change when it is replaced or written: inode, size, and the times of
the last content change and inode change in nanoseconds. No user can set the inode-change time."""

Key = tuple[int, str, str]
"""Layer, target, and ``"A"`` or ``"B"``."""


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """The contents of a LoRA directory: the projections that it adapts, and its size."""

    path: Path
    loras: Mapping[Projection, Lora]
    elements: int
    stamps: Stamps
    """Taken before any file was read."""

    @property
    def rank(self) -> int:
        """The largest rank of a projection."""
        return max(lora.rank for lora in self.loras.values())

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(sorted({target for _, target in self.loras}))

    @property
    def layers(self) -> tuple[int, ...]:
        return tuple(sorted({layer for layer, _ in self.loras}))

    def nbytes(self, dtype: str, device: str = "cpu") -> int:
        """Return the size in memory when loaded for a backbone stored as ``dtype``."""
        return self.elements * ITEMSIZE[compute_dtype(dtype, device)]


def inspect_adapter(adapter_dir: Path, config: ModelConfig) -> AdapterFiles:
    """Check a peft directory against a backbone. ``AdapterError`` names the first mismatch."""
    stamps = stamps_of(adapter_dir)
    loras = _loras(adapter_dir, config)
    tensors = read_header(_weights_file(adapter_dir), AdapterError)
    halves = _halves(adapter_dir, tensors, config)
    _check_pairs(adapter_dir, halves)
    _check_same(adapter_dir, {key[:2] for key in halves}, loras.keys())
    _check_shapes(adapter_dir, halves, loras, config)
    elements = sum(math.prod(tensor.shape) for tensor in tensors.values())
    return AdapterFiles(adapter_dir, loras, elements, stamps)


def stamps_of(adapter_dir: Path) -> Stamps:
    """Return the present stamps of the files; the stamp of a missing file is empty."""
    return tuple(_stamp(adapter_dir / name) for name in (CONFIG, WEIGHTS))


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def validate_adapter(adapter_dir: Path, config: ModelConfig) -> AdapterFiles:
    """Raise ``AdapterError`` if the adapter cannot run on this backbone. Reads headers only."""
    return inspect_adapter(adapter_dir, config)


def check_values(files: AdapterFiles, dtype: str, device: str) -> None:
    """Raise ``AdapterError`` if a weight is not finite (NaN, infinity), or would not be when loaded
    for a backbone stored as ``dtype``. Reads the whole file. Other checks read headers only; the
    loader then checks the values."""
    most = _LARGEST[compute_dtype(dtype, device)]
    path = files.path / WEIGHTS
    for name, tensor in read_header(path, AdapterError).items():
        key = parse_key(name)
        scaling = files.loras[key[:2]].scaling if key and key[:2] in files.loras else 1.0
        if not largest_value(tensor) <= most / max(1.0, scaling):
            raise AdapterError(f"{path}: {name} has {NOT_FINITE} in {dtype}")


def parse_key(name: str) -> Key | None:
    """Return what a tensor of a peft file is; None: not a half of a LoRA of a layer's module."""
    match = _KEY.fullmatch(name)
    if match is None or BLOCKS.get(match[3], match[2]) != match[2]:
        return None
    return int(match[1]), match[3], match[4]


def _loras(adapter_dir: Path, config: ModelConfig) -> dict[Projection, Lora]:
    """Return the LoRA of each projection that the settings adapt."""
    settings, known = read_settings(adapter_dir), projections(config)
    found = adapted(adapter_dir, settings, (*known, *_OTHERS))
    for name in _OTHERS:
        if name in found:
            raise AdapterError(
                f"{adapter_dir / CONFIG}: target_modules has {name}; the engine adapts projections"
                f" of layers only: {', '.join(BLOCKS)}"
            )
    return {known[name]: lora for name, lora in found.items()}


def _weights_file(adapter_dir: Path) -> Path:
    path = adapter_dir / WEIGHTS
    if path.exists():
        return path
    if any(adapter_dir.glob("*.bin")):
        raise AdapterError(
            f"{adapter_dir}: pickled weights are not loaded; save the adapter as safetensors"
        )
    raise AdapterError(f"{adapter_dir}: no {WEIGHTS}")


def _halves(
    adapter_dir: Path, tensors: Mapping[str, StoredTensor], config: ModelConfig
) -> dict[Key, StoredTensor]:
    """Return the halves by what they are. Raise ``AdapterError`` for any other tensor."""
    halves: dict[Key, StoredTensor] = {}
    for name, tensor in tensors.items():
        key = parse_key(name)
        if key is None:
            raise AdapterError(
                f"{adapter_dir}: {reprlib.repr(name)} is not a LoRA of a layer's projection"
            )
        if key[1] not in BLOCKS:
            raise AdapterError(
                f"{adapter_dir}: target {key[1]} is not supported; supported: {', '.join(BLOCKS)}"
            )
        if key[0] >= config.num_layers:
            raise AdapterError(
                f"{adapter_dir}: has layer {key[0]}, the backbone {config.num_layers} layers;"
                " it is an adapter of another backbone"
            )
        halves[key] = tensor
    return halves


def _check_pairs(adapter_dir: Path, halves: Iterable[Key]) -> None:
    both = {half: {key[:2] for key in halves if key[2] == half} for half in "AB"}
    if not both["A"] or both["A"] != both["B"]:
        raise AdapterError(f"{adapter_dir}: each target needs both lora_A and lora_B")


def _check_same(
    adapter_dir: Path, stored: Iterable[Projection], told: Iterable[Projection]
) -> None:
    """Check that the weights are of the projections that the settings adapt: peft ignores others,
    and starts missing ones at random."""
    missing, unknown = sorted(set(told) - set(stored)), sorted(set(stored) - set(told))
    if missing:
        raise AdapterError(
            f"{adapter_dir}: has no weights of {module_name(missing[0])}, which its settings adapt;"
            " it is an adapter of another backbone, or incomplete"
        )
    if unknown:
        raise AdapterError(
            f"{adapter_dir}: has weights of {module_name(unknown[0])}, which its settings"
            " (target_modules, exclude_modules, layers_to_transform) do not adapt"
        )


def _check_shapes(
    adapter_dir: Path,
    halves: Mapping[Key, StoredTensor],
    loras: Mapping[Projection, Lora],
    config: ModelConfig,
) -> None:
    shapes = target_shapes(config)
    for (layer, target, half), tensor in halves.items():
        (out, inner), rank = shapes[target], loras[layer, target].rank
        wanted = (rank, inner) if half == "A" else (out, rank)
        if tensor.shape != wanted:
            raise AdapterError(
                f"{adapter_dir}: lora_{half} of {module_name((layer, target))} has shape"
                f" {list(tensor.shape)}, rank {rank} on this backbone needs {list(wanted)};"
                " it is an adapter of another backbone or rank"
            )
