"""What ``slbench run`` says at its end: tables, problems, warnings and figures; or one document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ..experiment import Experiment
from ..report.table import comparison_table
from ..report.warnings import warnings_once
from .drawing import draw_into

if TYPE_CHECKING:
    from paper_figures import Drawn

    from ..records import Run

_MOST_LOADS = 24
"""Limit of the workloads and seeds in printed tables. Tables of more would take longer to make than
the cells of a sweep."""


def tell(record: Run, *, as_json: bool) -> bool:
    """Draw the figures, print the result, and return whether all cells are valid."""
    chosen = Experiment.model_validate(record.experiment)
    document = _document(record)
    figures = draw_into(record, chosen.figures)
    if as_json:
        print(json.dumps(document))
    else:
        _show(record, chosen, document, figures)
    return bool(document["valid"])


def _document(record: Run) -> dict[str, Any]:
    cells = record.cells()
    problems = [
        f"{cell.system}/{cell.workload}: {problem}"
        for cell in cells
        for problem in cell.manifest.problems
    ]
    systems: dict[str, Any] = {}
    for cell in cells:
        systems.setdefault(cell.system, {})[f"{cell.workload}/{cell.path.name}"] = cell.summary
    return {
        "run_id": record.id,
        "run_directory": str(record.path),
        "experiment": record.experiment["name"],
        "mode": record.experiment.get("mode", "live"),
        "valid": all(cell.manifest.valid for cell in cells),
        "problems": problems,
        "warnings": list(warnings_once(cells)),
        "systems": systems,
    }


def _show(record: Run, chosen: Experiment, document: dict[str, Any], figures: Drawn) -> None:
    console = Console()
    cells = record.cells()
    if len({(cell.workload, cell.path.name) for cell in cells}) > _MOST_LOADS:
        console.print(f"{len(cells)} cells; slbench compare {record.path} has them in tables")
    else:
        for load in dict.fromkeys(cell.workload for cell in cells):
            group = [cell for cell in cells if cell.workload == load]
            console.print(comparison_table(group, chosen.against, console.width), crop=False)
    for problem in document["problems"]:
        console.print(f"[red]invalid:[/] {problem}")
    for warning in document["warnings"]:
        console.print(f"[yellow]warning:[/] {warning}")
    for path in figures.paths:
        console.print(f"figure  {path}", soft_wrap=True)
    for line in figures.skipped:
        console.print(f"no figure {line}", soft_wrap=True)
    console.print(f"run     {record.path}", soft_wrap=True)
