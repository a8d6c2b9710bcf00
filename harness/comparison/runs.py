"""The runs of a comparison, and the factor by which they are usually compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.records import Cell, Run, open_run

from .factors import FACTORS, Factor


def open_runs(names: Sequence[str]) -> dict[str, Run]:
    """Open runs, each once, by what a comparison calls them: their id, or the name as given where
    two have the same id. Raises ``RecordError`` if one is not a run."""
    opened = {run.path.resolve(): (name, run) for name in names for run in [open_run(name)]}
    ids = [run.id for _, run in opened.values()]
    return {name if ids.count(run.id) > 1 else run.id: run for name, run in opened.values()}


def cells_of(runs: Mapping[str, Run]) -> list[Cell]:
    """Return all cells; ``run_id`` is what the comparison calls their run."""
    return [
        replace(cell, manifest=cell.manifest.model_copy(update={"run_id": name}))
        for name, run in runs.items()
        for cell in run.cells()
    ]


def usual_factor(cells: Sequence[Cell]) -> Factor:
    """Compare by run if two runs have a system with the same workload, otherwise by system."""
    held = {(cell.system, cell.workload, cell.manifest.run_id) for cell in cells}
    common = len(held) > len({(system, workload) for system, workload, _ in held})
    return FACTORS["run" if common else "system"]
