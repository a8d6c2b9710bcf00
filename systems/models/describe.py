"""Describes a backbone or an adapter directory: what it is, and how the engine runs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from systems.engine.adapter_files import AdapterFiles, inspect_adapter
from systems.engine.adapter_settings import CONFIG
from systems.engine.bounded_files import read_json
from systems.engine.checkpoint import lay_out, stored_tensors
from systems.engine.config import ModelConfig, read_config
from systems.engine.dtypes import ITEMSIZE
from systems.errors import AdapterError

from .hub import directory
from .presets import ensure_backbone, preset_names

DEVICES = ("cpu", "cuda")


def describe_backbone(path: Path) -> dict[str, Any]:
    """Return the facts about a backbone directory. Raise ``CheckpointError`` if the engine cannot
    run it: the message says why."""
    config = read_config(path)
    stored = stored_tensors(path, config)
    layouts = {dtype: lay_out(config, dtype) for dtype in ITEMSIZE}
    dtypes = sorted({stored[name].dtype for name in layouts["float32"].tensors})
    return {
        "kind": "backbone",
        "path": str(path),
        "architecture": f"{config.architecture.class_name}, {_differences(config)}",
        "parameters": layouts["float32"].parameters,
        "weights_bytes": {dtype: layout.nbytes for dtype, layout in layouts.items()},
        "kv_bytes_per_token": {
            device: config.kv_bytes_per_token("bfloat16", device) for device in DEVICES
        },
        "stored_as": dtypes,
        "files": len({each.path for each in stored.values()}),
        "runs": {device: list(ITEMSIZE) for device in DEVICES},
        "notes": list(_notes(path, config, dtypes)),
        "config": config.model_dump(),
    }


def is_adapter(path: Path) -> bool:
    """Whether a directory is an adapter's."""
    return (path / CONFIG).exists()


def backbone_of(adapter_dir: Path) -> Path:
    """Return the directory of the backbone that an adapter names as its own. Raise ``AdapterError``
    if it names none that is here."""
    settings = read_json(adapter_dir / CONFIG, AdapterError)
    named = settings.get("base_model_name_or_path") if isinstance(settings, dict) else None
    if isinstance(named, str) and (named in preset_names() or directory(named).is_dir()):
        return ensure_backbone(named)
    raise AdapterError(
        f"{adapter_dir}: its backbone is {str(named)[:100]!r}, which is not here;"
        " name one with --backbone"
    )


def describe_adapter(path: Path, backbone: Path, config: ModelConfig) -> dict[str, Any]:
    """Return the facts about an adapter directory. Raise ``AdapterError`` if it does not run on the
    backbone: the message says why."""
    files: AdapterFiles = inspect_adapter(path, config)
    return {
        "kind": "adapter",
        "path": str(path),
        "backbone": str(backbone),
        "rank": files.rank,
        "scalings": sorted({lora.scaling for lora in files.loras.values()}),
        "targets": files.targets,
        "layers": files.layers,
        "parameters": files.elements,
        "bytes": {device: files.nbytes("bfloat16", device) for device in DEVICES},
    }


def _differences(config: ModelConfig) -> str:
    """Say in words how the architecture differs from a Llama."""
    kind = config.architecture
    told: Mapping[str, bool] = {
        "biases on q, k and v": kind.qkv_bias,
        "norms on the heads of q and k": kind.qk_norm,
        f"a window of {config.window and config.window.tokens} tokens": config.windows != {None},
        "a tied head": config.tie_word_embeddings,
    }
    return ", ".join(text for text, true in told.items() if true) or "as Llama"


def _notes(path: Path, config: ModelConfig, dtypes: list[str]) -> Iterator[str]:
    if not (path / "tokenizer.json").is_file():
        yield "no tokenizer.json: the endpoint cannot be deployed; save a fast tokenizer with it"
    if config.windows != {None}:
        yield "keys and values outside the window are kept: memory is that of the whole context"
    if len(dtypes) > 1:
        yield f"tensors are stored as {', '.join(dtypes)}: loading converts through host memory"
    else:
        yield f"loads fastest as {dtypes[0]}; other dtypes are converted through host memory"
