"""Backbones and adapters: presets made once into a cache, and directories of one's own.

Everything is a Hugging Face or peft directory on disk, so what is made here is loaded by the same
code as what anybody brings. Nothing is downloaded.
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
