"""Which cells are samples of their own. A cell that is deterministic comes out the same however
often it is run (measurement rule 17): a simulation run again, a recorded trace simulated under
several seeds, a run that is named twice."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cell import Cell


def samples(cells: Iterable[Cell]) -> list[Cell]:
    """Cells of one system and workload without those whose summaries repeat one before to the last
    digit, in their order. Two runs of a live system never agree to the nanosecond."""
    found: dict[str, Cell] = {}
    for cell in cells:
        found.setdefault(json.dumps(cell.summary, sort_keys=True), cell)
    return list(found.values())
