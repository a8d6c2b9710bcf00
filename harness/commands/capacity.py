"""``slbench capacity``: the highest load at which each system keeps stated goals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..places import RUNS
from .consent import Yes
from .run import Named, Profile, Repeats, Seed, Setting, Simulated, System, Workload

if TYPE_CHECKING:
    from ..capacity import Capacity, CapacityRecord, Limits

Goals = Annotated[
    list[str] | None,
    typer.Option("--goal", help="METRIC.PART <= NUMBER or METRIC >= NUMBER; repeat for more."),
]
Answered = Annotated[
    float, typer.Option(min=0, max=1, help="Share of the requests that must be answered.")
]
Start = Annotated[float, typer.Option(help="First load, a factor of the experiment's own.")]
Lowest = Annotated[float, typer.Option(help="Lowest load to test.")]
Highest = Annotated[float, typer.Option(help="Highest load to test.")]
Tolerance = Annotated[
    float, typer.Option(help="Share by which the ends of the bracket may differ, 0.005 to 1.")
]
Checks = Annotated[
    bool, typer.Option("--checks/--no-checks", help="Test a load on either side of the bracket.")
]
Points = Annotated[int, typer.Option(min=1, help="Most loads to test of a system.")]
Workers = Annotated[
    int,
    typer.Option(min=1, help="Processes for the simulated cells of a load, if these are large."),
]
Resume = Annotated[
    str | None, typer.Option(help="Continue this search, with its settings, instead.")
]
Out = Annotated[Path, typer.Option(help="Folder for runs.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]

_DEFAULT_GOAL = "slo_attainment >= 0.99"


def capacity(
    context: typer.Context,
    experiment: Named = None,
    goal: Goals = None,
    answered: Answered = 0.99,
    start: Start = 1.0,
    lowest: Lowest = 0.0625,
    highest: Highest = 64.0,
    tolerance: Tolerance = 0.05,
    checks: Checks = True,
    points: Points = 40,
    system: System = None,
    workload: Workload = None,
    seed: Seed = None,
    repeats: Repeats = None,
    workers: Workers = 1,
    set_: Setting = None,
    simulated: Simulated = None,
    profile: Profile = None,
    resume: Resume = None,
    yes: Yes = False,
    out: Out = RUNS,
    json_: AsJson = False,
) -> None:
    """Find the highest load at which each system of EXPERIMENT keeps every goal, by bisection.

    A load is a factor of the workload's time scale: the same requests, sent faster. Without --goal:
    slo_attainment >= 0.99. Every load that is tested is a run, kept in the search's folder. Exit
    status 1 where a cell is invalid. Example: slbench capacity saturation --goal 'ttft_s.p95 <= 2'
    """
    from functools import partial

    from harness.execution.progress import Progress

    from ..capacity import find, new_capacity, open_capacity
    from .chosen import choose, mode, named
    from .consent import check_experiment
    from .keeping import keeping
    from .resuming import check_no_settings

    if resume:
        check_no_settings(context)
        make = partial(open_capacity, resume, out)
    else:
        given = {
            "seeds": seed,
            "repeats": repeats,
            "mode": mode(simulated),
            "profile": profile,
        }
        chosen = choose(named(experiment, "capacity", "search"), system, workload, given, set_)
        check_experiment(chosen, yes=yes)
        limits = _limits(
            start=start,
            lowest=lowest,
            highest=highest,
            tolerance=tolerance,
            checks=checks,
            points=points,
        )
        goals = goal or [_DEFAULT_GOAL]
        make = partial(new_capacity, chosen, goals, out, limits=limits, answered=answered)
    with keeping(make, "capacity") as record:
        found = find(record, Progress(), workers)
    _tell(record, found, as_json=json_)
    raise typer.Exit(0 if all(cell.manifest.valid for cell in record.cells()) else 1)


def _limits(**given: float) -> Limits:
    """Return the limits. Raise ``HarnessError`` for the first option that is wrong."""
    from pydantic import ValidationError

    from ..capacity import Limits
    from ..errors import HarnessError
    from ..mistakes import option_mistake

    try:
        return Limits.model_validate(given)
    except ValidationError as error:
        raise HarnessError(option_mistake(error, Limits)) from error


def _tell(record: CapacityRecord, found: list[Capacity], *, as_json: bool) -> None:
    from .drawing import draw_into

    figures = draw_into(record, ["capacity"])
    if as_json:
        print(json.dumps({"path": str(record.path), **record.result}))
        return
    from rich.console import Console

    from ..report.capacities import capacity_lines, capacity_table

    console = Console()
    console.print(capacity_table(found, record.request.goals))
    for line in capacity_lines(found):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    for path in figures.paths:
        console.print(f"figure  {path}", soft_wrap=True)
    for line in figures.skipped:
        console.print(f"no figure {line}", soft_wrap=True)
    console.print(f"search  {record.path}", soft_wrap=True)
