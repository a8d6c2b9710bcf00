"""Backbones by name. A preset is made once into a Hugging Face directory and cached."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from systems.errors import CheckpointError

from . import random_llama, smollm2
from .cache import cache_root, made

_PRESETS: dict[str, Callable[[Path], None]] = {
    "smollm2-135m": smollm2.make,
    "tiny": random_llama.make_tiny,
    "llama2-7b": random_llama.make_llama2_7b,
    "llama2-13b": random_llama.make_llama2_13b,
}


def preset_names() -> list[str]:
    return list(_PRESETS)


def preset_path(name: str) -> Path:
    """Where a preset is, or will be once it is made."""
    return cache_root() / "backbones" / name


def ensure_backbone(name_or_path: str | Path) -> Path:
    """The directory of a preset, made if need be, or of any Hugging Face Llama that is named.
    ``CheckpointError`` where it is neither."""
    name = str(name_or_path)
    if name in _PRESETS:
        return made(preset_path(name), _PRESETS[name])
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path.resolve()
    raise CheckpointError(
        f"backbone {name!r} is neither a preset ({', '.join(_PRESETS)}) nor a directory"
    )
