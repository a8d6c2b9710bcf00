"""Checks a peft LoRA directory against a backbone, from file headers alone (no torch)."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from systems.errors import AdapterError

from .bounded_files import read_json
from .config import ModelConfig
from .dtypes import ITEMSIZE, compute_dtype
from .safetensors_files import StoredTensor, largest_value, read_header

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"

# peft features beyond W·x + scaling·B·A·x, which this engine does not compute.
_UNSUPPORTED = (
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "modules_to_save",
    "fan_in_fan_out",
    "lora_bias",
    "rank_pattern",
    "alpha_pattern",
    "layer_replication",
    "alora_invocation_tokens",
    "arrow_config",
    "target_parameters",
    "trainable_token_indices",
)
_KEY = re.compile(
    r"base_model\.model\.model\.layers\.(\d+)\.(self_attn|mlp)\.(\w+)\.lora_(A|B)\.weight"
)


FUSED = {
    "qkv": ("q_proj", "k_proj", "v_proj"),
    "o": ("o_proj",),
    "gate_up": ("gate_proj", "up_proj"),
    "down": ("down_proj",),
}
"""The targets of each fused projection, in row order."""

NOT_FINITE = "values that are not finite numbers"
_LARGEST = {"float32": 3.4028234e38, "bfloat16": 3.3895313e38, "float16": 65504.0}

Stamps = tuple[tuple[int, ...], ...]
"""For each file, values that change when it is replaced or written: inode, size, and the times of
the last content change and inode change in nanoseconds. No user can set the inode-change time."""


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """The contents of a LoRA directory: rank, factor on B·A, targets, layers."""

    path: Path
    rank: int
    scaling: float
    targets: tuple[str, ...]
    layers: tuple[int, ...]
    elements: int
    stamps: Stamps
    """Taken before any file was read."""

    def nbytes(self, dtype: str, device: str = "cpu") -> int:
        """Return the size in memory when loaded for a backbone stored as ``dtype``."""
        return self.elements * ITEMSIZE[compute_dtype(dtype, device)]


def target_shapes(config: ModelConfig) -> dict[str, tuple[int, int]]:
    """Return (out, in) of every projection that an adapter may change, by its peft name."""
    hidden, inner = config.hidden_size, config.intermediate_size
    return {
        "q_proj": (config.q_size, hidden),
        "k_proj": (config.kv_size, hidden),
        "v_proj": (config.kv_size, hidden),
        "o_proj": (hidden, config.q_size),
        "gate_proj": (inner, hidden),
        "up_proj": (inner, hidden),
        "down_proj": (hidden, inner),
    }


def inspect_adapter(adapter_dir: Path, config: ModelConfig) -> AdapterFiles:
    """Check a peft directory against a backbone. ``AdapterError`` names the first mismatch."""
    stamps = stamps_of(adapter_dir)
    settings = _settings(adapter_dir)
    rank = settings["r"]
    tensors = read_header(_weights_file(adapter_dir), AdapterError)
    pairs = _pairs(adapter_dir, tensors)
    _check_shapes(adapter_dir, tensors, rank, config)
    layers = tuple(sorted({layer for layer, _ in pairs}))
    targets = tuple(sorted({target for _, target in pairs}))
    _check_coverage(adapter_dir, settings, pairs, layers, targets, config)
    divisor = math.sqrt(rank) if settings.get("use_rslora") else rank
    return AdapterFiles(
        path=adapter_dir,
        rank=rank,
        scaling=settings["lora_alpha"] / divisor,
        targets=targets,
        layers=layers,
        elements=sum(math.prod(tensor.shape) for tensor in tensors.values()),
        stamps=stamps,
    )


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
    most = _LARGEST[compute_dtype(dtype, device)] / max(1.0, files.scaling)
    path = files.path / WEIGHTS
    for name, tensor in read_header(path, AdapterError).items():
        if not largest_value(tensor) <= most:
            raise AdapterError(f"{path}: {name} has {NOT_FINITE} in {dtype}")


def parse_key(name: str) -> tuple[int, str, str] | None:
    """Return (layer, target, ``"A"`` or ``"B"``) for a tensor name in a peft file, or None."""
    match = _KEY.fullmatch(name)
    return (int(match[1]), match[3], match[4]) if match else None


def _settings(adapter_dir: Path) -> dict[str, Any]:
    path = adapter_dir / CONFIG
    try:
        settings = read_json(path, AdapterError)
    except FileNotFoundError:
        raise AdapterError(f"{adapter_dir}: no {CONFIG}; a peft directory is needed") from None
    if not isinstance(settings, dict) or settings.get("peft_type") != "LORA":
        raise AdapterError(f"{path}: not a LoRA adapter (peft_type must be LORA)")
    used = [name for name in _UNSUPPORTED if settings.get(name)]
    if settings.get("bias", "none") != "none":
        used.append("bias")
    if used:
        raise AdapterError(f"{path}: {used[0]} is set, which the engine does not compute")
    for name, (fits, wanted) in _FIELDS.items():
        value = settings.get(name)
        if not fits(value):
            raise AdapterError(f"{path}: {name} must be {wanted}, got {reprlib.repr(value)}")
    return settings


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value < 1 << 31


def _is_positive(value: Any) -> bool:
    if type(value) not in (int, float):
        return False
    try:
        return math.isfinite(value) and value > 0
    except OverflowError:  # an integer beyond the range of floats
        return False


def _is_choice_of_layers(value: Any) -> bool:
    chosen = value if isinstance(value, list) else [value]
    return value is None or all(type(each) is int for each in chosen)


_FIELDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "r": (_is_count, "a positive whole number"),
    "lora_alpha": (_is_positive, "a positive, finite number"),
    "use_rslora": (lambda value: value is None or type(value) is bool, "true or false"),
    "layers_to_transform": (_is_choice_of_layers, "a list of layers"),
}


def _weights_file(adapter_dir: Path) -> Path:
    path = adapter_dir / WEIGHTS
    if path.exists():
        return path
    if any(adapter_dir.glob("*.bin")):
        raise AdapterError(
            f"{adapter_dir}: pickled weights are not loaded; save the adapter as safetensors"
        )
    raise AdapterError(f"{adapter_dir}: no {WEIGHTS}")


def _pairs(adapter_dir: Path, tensors: Mapping[str, StoredTensor]) -> set[tuple[int, str]]:
    halves: dict[str, set[tuple[int, str]]] = {"A": set(), "B": set()}
    for name in tensors:
        key = parse_key(name)
        if key is None:
            raise AdapterError(f"{adapter_dir}: {name} is not a LoRA of a Llama projection")
        halves[key[2]].add(key[:2])
    if not tensors or halves["A"] != halves["B"]:
        raise AdapterError(f"{adapter_dir}: each target needs both lora_A and lora_B")
    return halves["A"]


def _check_shapes(
    adapter_dir: Path, tensors: Mapping[str, StoredTensor], rank: int, config: ModelConfig
) -> None:
    shapes = target_shapes(config)
    for name, tensor in tensors.items():
        layer, target, half = parse_key(name) or (0, "", "")
        if target not in shapes:
            raise AdapterError(
                f"{adapter_dir}: target {target} is not supported; supported: {', '.join(shapes)}"
            )
        if layer >= config.num_layers:
            raise AdapterError(
                f"{adapter_dir}: has layer {layer}, the backbone {config.num_layers} layers;"
                " it is an adapter of another backbone"
            )
        out, inner = shapes[target]
        wanted = (rank, inner) if half == "A" else (out, rank)
        if tensor.shape != wanted:
            raise AdapterError(
                f"{adapter_dir}: {name} has shape {list(tensor.shape)}, rank {rank} on this"
                f" backbone needs {list(wanted)}; it is an adapter of another backbone or rank"
            )


def _check_coverage(
    adapter_dir: Path,
    settings: Mapping[str, Any],
    pairs: set[tuple[int, str]],
    layers: tuple[int, ...],
    targets: tuple[str, ...],
    config: ModelConfig,
) -> None:
    """Reject undeclared missing layers: the adapter was made for a backbone with fewer layers."""
    chosen = settings.get("layers_to_transform")
    if chosen is None and len(layers) != config.num_layers:
        raise AdapterError(
            f"{adapter_dir}: has {len(layers)} layers, the backbone {config.num_layers};"
            " it is an adapter of another backbone"
        )
    if len(pairs) != len(layers) * len(targets):
        raise AdapterError(f"{adapter_dir}: some layers lack some of {', '.join(targets)}")
