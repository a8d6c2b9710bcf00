"""Backbones and adapters: presets generated once into a cache, or the user's own directories.

Every model is a Hugging Face or peft directory on disk, so generated ones are loaded by the same
code as any others. Nothing is downloaded.
"""

from .adapters import ensure_adapters, remake_adapter
from .cache import cache_root
from .presets import Preset, ensure_backbone, preset_names, presets

__all__ = [
    "Preset",
    "cache_root",
    "ensure_adapters",
    "ensure_backbone",
    "preset_names",
    "presets",
    "remake_adapter",
]
