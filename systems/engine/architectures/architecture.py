"""What an architecture declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .windows import nowhere

FindWindow = Callable[[Mapping[str, Any]], Mapping[str, Any] | None]
"""Returns the fields of a :class:`~systems.engine.config.Window` from those of ``config.json``, or
None. Raises ``ValueError`` for a choice of layers that the engine does not run."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """How a decoder differs from a Llama. ``model_type`` and ``class_name`` (transformers) are the
    names in ``config.json``."""

    model_type: str
    class_name: str
    qkv_bias: bool = False
    """Whether the projections of q, k and v have biases."""
    qk_norm: bool = False
    """Whether each head of q and k is normalized (RMS) before it is rotated."""
    window: FindWindow = nowhere
    """Which layers attend to a sliding window."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Values of keys that ``config.json`` lacks, where transformers' differ from Llama's."""
