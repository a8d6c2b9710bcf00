"""``slbench compare``: compares runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..records import Cell


def compare(
    runs: Annotated[list[str], typer.Argument(help="Runs, by id or folder.")],
    baseline: Annotated[
        str | None, typer.Option(help="Reference of the ratios; default: the experiment's.")
    ] = None,
    factor: Annotated[
        str, typer.Option(help="The one thing that may differ: system, workload, deployment, …")
    ] = "system",
    at_slo: Annotated[
        float | None,
        typer.Option(metavar="PERCENT", help="Show load and cost at this SLO attainment instead."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show every metric by system and workload with 95 % intervals, and ratios to a baseline.

    Cells are pooled over seeds and repeats; cells with identical results count as one sample.
    Refuses cells that differ in anything but the factor; with --factor version, lists what else
    differs. Exits with status 1 if a cell is invalid. Example: slbench compare
    results/reference/quickstart

    With --at-slo, each cell is one load level: shows for each system the highest load at which it
    still reaches this SLO attainment, and its cost there.
    """
    from ..compare import compare as compared
    from ..compare import factor as factor_named
    from ..compare import level_names
    from ..records import open_run

    chosen = factor_named(factor)
    opened = [open_run(name) for name in runs]
    cells = [cell for run in opened for cell in run.cells()]
    valid = all(cell.manifest.valid for cell in cells)
    if at_slo is not None:
        _show_sustained(cells, at_slo / 100, as_json=json_)
        raise typer.Exit(0 if valid else 1)
    if baseline is None and chosen.name == "system":
        levels = set(level_names(chosen, [cell.manifest for cell in cells]))
        baseline = _declared([run.experiment for run in opened], levels)
    found = compared(cells, baseline, chosen)
    if json_:
        print(json.dumps(found.as_dict()))
    else:
        from rich.console import Console

        from ..report.differences import differences_table
        from ..report.table import tables

        console = Console()
        for table in tables(found):
            console.print(table)
        if found.differences:
            console.print(differences_table(found))
    raise typer.Exit(0 if valid else 1)


def _show_sustained(cells: Sequence[Cell], level: float, *, as_json: bool) -> None:
    from ..compare import at_attainment

    found = at_attainment(cells, level)
    if as_json:
        print(json.dumps({"slo_attainment": level, "systems": [each.as_dict() for each in found]}))
        return
    from rich.console import Console

    from ..report.sustained import sustained_table

    Console().print(sustained_table(found, level))


def _declared(experiments: Sequence[Mapping[str, Any]], levels: set[str]) -> str | None:
    """Return the baseline of the first run's experiment, or else its last system, that is a level
    of the comparison; None if none is."""
    first = experiments[0]
    systems = [each.get("label", each["name"]) for each in reversed(first.get("systems", ()))]
    return next((name for name in (first.get("baseline"), *systems) if name in levels), None)
