"""The forms of adapters that are compared. To add one, add a line; then run :mod:`.matrix`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from systems.models import ensure_adapters

Make = Callable[[Path, str], Path]
"""Makes the adapter of a name for a backbone; returns its directory."""
ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
NONE = "no-adapter"


def seeded(rank: int, targets: Sequence[str]) -> Make:
    return lambda backbone, name: ensure_adapters(backbone, [name], rank, targets)[name]


FORMS: dict[str, Make] = {
    "all-linear": seeded(8, ALL_LINEAR),
    "q-and-v": seeded(4, ("q_proj", "v_proj")),
}
