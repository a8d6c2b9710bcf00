"""Draws the figures of a record into its folder at the end of a command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from paper_figures import Drawn, draw_each

from ..places import is_reference

if TYPE_CHECKING:
    from ..capacity import CapacityRecord
    from ..records import Run


def draw_into(record: Run | CapacityRecord, names: Sequence[str]) -> Drawn:
    """Draw the figures into the record's folder, which may be resumed; none into a reference
    record, which is committed or installed as it is."""
    if names and is_reference(record.path):
        elsewhere = f"slbench figures --from {record.path} --out figures draws them"
        return Drawn([], [f"is drawn into a reference record; {elsewhere}"])
    return draw_each(names, record, record.path / "figures")
