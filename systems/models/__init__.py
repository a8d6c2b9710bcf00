"""Backbones and adapters: presets generated once into a cache, or the user's own directories.

Every model is a Hugging Face or peft directory on disk, so generated ones are loaded by the same
code as any others. Nothing is downloaded.
"""

from .adapter_forms import FORMS
from .adapters import ensure_adapters, ensure_form
from .cache import cache_root
from .describe import backbone_of, describe_adapter, describe_backbone, is_adapter
from .hub import model_name, snapshot
from .presets import Preset, ensure_backbone, preset_names, presets
from .remaking import remake_adapter
from .skills import ensure_skills

__all__ = [
    "FORMS",
    "Preset",
    "backbone_of",
    "cache_root",
    "describe_adapter",
    "describe_backbone",
    "ensure_adapters",
    "ensure_backbone",
    "ensure_form",
    "ensure_skills",
    "is_adapter",
    "model_name",
    "preset_names",
    "presets",
    "remake_adapter",
    "snapshot",
]
