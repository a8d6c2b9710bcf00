"""Which layers attend to a sliding window, from the fields of a ``config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FULL, SLIDING = "full_attention", "sliding_attention"


def nowhere(fields: Mapping[str, Any]) -> None:
    """Every layer attends to all positions."""


def everywhere(fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Every layer has the window ``sliding_window`` (null: none has)."""
    tokens = fields.get("sliding_window")
    return None if tokens is None else {"sliding_window": tokens, "max_window_layers": 0}


def in_last_layers(fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Layers from ``max_window_layers`` on have the window, if ``use_sliding_window`` is set.
    ``layer_types``, which newer files have too, must say the same."""
    used = bool(fields.get("use_sliding_window")) and fields.get("sliding_window") is not None
    first = fields.get("max_window_layers")
    _check_kinds(fields.get("layer_types"), first if used else None)
    return (
        {"sliding_window": fields["sliding_window"], "max_window_layers": first} if used else None
    )


def _check_kinds(kinds: Any, first: Any) -> None:
    """Raise ``ValueError`` unless all of ``kinds`` before ``first`` are full and the others slide.
    None: all are full."""
    if kinds is None or not (first is None or type(first) is int):
        return
    if not isinstance(kinds, list):
        raise ValueError("layer_types must be a list")
    for layer, kind in enumerate(kinds):
        wanted = FULL if first is None or layer < first else SLIDING
        if kind != wanted:
            raise ValueError(
                f"layer_types: layer {layer} is {str(kind)[:40]!r}, but use_sliding_window and"
                f" max_window_layers make it {wanted!r}; the engine runs those only"
            )
