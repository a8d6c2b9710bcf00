"""Backbones and adapters: found where they are named, made where a preset is.

``ensure_backbone`` and ``ensure_adapters`` are all that others need. Nothing is downloaded.
"""

from .adapters import ensure_adapters
from .presets import ensure_backbone, preset_names

__all__ = ["ensure_adapters", "ensure_backbone", "preset_names"]
