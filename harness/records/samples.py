"""Which cells are independent samples. A deterministic cell has the same result in every run
(measurement rule 17): a repeated simulation, a recorded trace simulated under several seeds, a run
that is given twice."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cell import Cell


def samples(cells: Iterable[Cell]) -> list[Cell]:
    """Remove cells whose summary equals that of an earlier cell, of one system and workload; keep
    the order. Two live runs never agree to the nanosecond."""
    found: dict[str, Cell] = {}
    for cell in cells:
        found.setdefault(json.dumps(cell.summary, sort_keys=True), cell)
    return list(found.values())
