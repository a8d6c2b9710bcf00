"""Decides whether the paper's numbers are comparable with a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .labels import PATTERNS

if TYPE_CHECKING:
    from harness.records import Cell, Manifest

BACKBONES = frozenset({"llama2-7b", "llama2-13b"})
DURATION_S = 14_400.0


def belongs(cells: Sequence[Cell]) -> bool:
    """Whether all cells are conditions of the paper's main evaluation: its backbones under its load
    patterns, four hours without compression, each function isolated from all others."""
    return all(_of_the_evaluation(cell.manifest) for cell in cells)


def _of_the_evaluation(about: Manifest) -> bool:
    transforms = about.workload.get("provenance", {}).get("transforms", ())
    made = {each["name"]: each["parameters"] for each in transforms}
    return (
        about.workload["name"] in PATTERNS
        and about.isolation in (None, "function")
        and set(about.deployment["backbones"]) <= BACKBONES
        and "compress" not in made
        and any(each.get("duration_s") == DURATION_S for each in made.values())
    )
