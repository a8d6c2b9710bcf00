"""The runs of a comparison, and the factor and baseline by which they are usually compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import HarnessError
from ..metrics import METRICS
from ..records import Cell, Run, open_run
from .factors import FACTORS, Factor, factor, level_names
from .rows import Comparison, compare
from .selection import metrics_of


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


def compare_runs(
    runs: Mapping[str, Run],
    baseline: str | None = None,
    by: str | None = None,
    names: Sequence[str] | None = None,
) -> Comparison:
    """Compare opened runs, strictly if there are several. ``baseline``: default: the experiment's,
    or the first run. ``by``: the factor; default: the usual one. ``names``: of metrics or rows to
    compute; None: every metric. Raises as ``compare`` does."""
    cells, experiments = cells_of(runs), [run.experiment for run in runs.values()]
    if not cells:
        raise HarnessError("nothing to compare: the runs hold no finished cell")
    chosen = usual_factor(cells) if by is None else factor(by)
    levels = level_names(chosen, [cell.manifest for cell in cells])
    if baseline is None and chosen.name == "system":
        baseline = declared_baseline(experiments[0], set(levels))
    if baseline is None and chosen.name == "run":
        baseline = next(iter(levels), None)
    metrics = METRICS if names is None else metrics_of(names)
    return compare(cells, baseline, chosen, strict=len(runs) > 1, metrics=metrics)


def declared_baseline(experiment: Mapping[str, Any], levels: set[str]) -> str | None:
    """Return the experiment's baseline, or else its last system, that is a level of the comparison;
    None if none is."""
    systems = [each.get("label", each["name"]) for each in reversed(experiment.get("systems", ()))]
    return next((name for name in (experiment.get("baseline"), *systems) if name in levels), None)
