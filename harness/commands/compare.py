"""``slbench compare``: compares runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from ..comparison import Comparison
    from ..records import Cell, Run

Format = Literal["table", "markdown", "csv", "json"]


def compare(
    runs: Annotated[list[str], typer.Argument(help="Runs, by id or folder.")],
    baseline: Annotated[
        str | None,
        typer.Option(help="Reference of the ratios; default: the experiment's, or the first run."),
    ] = None,
    factor: Annotated[
        str | None,
        typer.Option(
            help="The one thing that may differ: run, system, version, …; default: run if two runs"
            " have a system in common, else system."
        ),
    ] = None,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(help="Status 1 on this change, such as 'ttft_s.p95 > +10%'; repeat for more."),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(help="Only these, such as ttft_s,cost_usd; repeat for more."),
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Every metric; csv and json have all.")
    ] = False,
    format_: Annotated[
        Format | None, typer.Option("--format", help="Default: table.", show_default=False)
    ] = None,
    at_slo: Annotated[
        float | None,
        typer.Option(metavar="PERCENT", help="Show load and cost at this SLO attainment instead."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="As --format json.")] = False,
) -> None:
    """Show metrics by system and workload with 95 % intervals, and ratios to a baseline.

    Cells are pooled over seeds and repeats; cells with identical results count as one sample.
    Several runs are refused if they differ in anything but the factor; within one run, what differs
    between its systems is told. Exits with status 1 if a cell is invalid. Example: slbench compare
    results/reference/quickstart

    With --fail-if, exits with status 1 if a metric changed from the baseline by more than this: if
    all of its 95 % interval is past the limit, or, without an interval, the value itself. Example:
    slbench compare BEFORE AFTER --fail-if 'ttft_s.p95 > +10%' --fail-if 'slo_attainment < -2%'

    With --at-slo, each cell is one load level: shows for each system the highest load at which it
    still reaches this SLO attainment, and its cost there.
    """
    from ..comparison import cells_of, compare_runs, gate, judge, open_runs
    from ..report.brief import abridged, brief_rows
    from ..report.formats import COMPLETE, PRINT
    from ..report.verdicts import line

    shape: Format = "json" if json_ else format_ or "table"
    gates = [gate(text) for text in fail_if or ()]
    names = [name.strip() for text in metrics or () for name in text.split(",")]
    opened = open_runs(runs)
    cells = cells_of(opened)
    valid = all(cell.manifest.valid for cell in cells)
    if at_slo is not None:
        _show_sustained(cells, at_slo / 100, shape, others=bool(gates or names))
        raise typer.Exit(0 if valid else 1)
    some = None if names or all_ or shape in COMPLETE else brief_rows(cells)
    rows = names or some
    needed = None if rows is None else [*rows, *(each.metric for each in gates)]
    found = compare_runs(opened, baseline, factor, needed)
    verdicts = judge(found, gates)
    PRINT[shape](_chosen(found, names) if some is None else abridged(found, some), verdicts)
    _tell_caveats(opened)
    for verdict in verdicts:
        print(f"slbench: {line(verdict)}", file=sys.stderr)
    raise typer.Exit(0 if valid and not any(each.failed for each in verdicts) else 1)


def _tell_caveats(opened: Mapping[str, Run]) -> None:
    from ..report.warnings import caveats

    for name, run in opened.items():
        whose = f"{name}: " if len(opened) > 1 else ""
        for text in caveats(run):
            print(f"slbench: {whose}{text}", file=sys.stderr)


def _chosen(found: Comparison, names: Sequence[str]) -> Comparison:
    """Keep the rows of these names; none: all."""
    from ..comparison import only, require

    if not names:
        return found
    require(found, names, "--metrics")
    return only(found, names)


def _show_sustained(cells: Sequence[Cell], level: float, shape: Format, *, others: bool) -> None:
    from ..comparison import at_attainment
    from ..errors import HarnessError

    if others or shape not in ("table", "json"):
        raise HarnessError(
            "--at-slo: shows load and cost alone, as a table or json; leave out --fail-if and"
            " --metrics"
        )
    found = at_attainment(cells, level)
    if shape == "json":
        print(json.dumps({"slo_attainment": level, "systems": [each.as_dict() for each in found]}))
        return
    from rich.console import Console

    from ..report.sustained import sustained_table

    Console().print(sustained_table(found, level))
