"""Tells of cells of a run's experiment that are not in its folder, as after an interruption."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ..places import is_reference

if TYPE_CHECKING:
    from ..records import Run


def unfinished(run: Run) -> Iterator[str]:
    """Yield a line if cells of the experiment are not there. A record whose experiment this version
    does not understand has none."""
    from ..cells.plan import plan_cells
    from ..experiment import Experiment

    try:
        planned = [plan.path for plan in plan_cells(Experiment.model_validate(run.experiment))]
    except ValidationError:
        return
    there = sum((run.path / each).exists() for each in planned)
    if there < len(planned):
        told = f"{there} of {len(planned)} cells are there"
        # To a reference record, of which cells may be left out on purpose, none are added.
        others = f"; slbench run --resume {run.path} runs the others"
        yield told if is_reference(run.path) else f"{told}{others}"
