"""``slbench experiments``: lists, shows and checks experiment files."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..experiment import Experiment

app = typer.Typer(help="Experiment files: list, show, check.", no_args_is_help=True)

Named = Annotated[str, typer.Argument(help="A shipped experiment, or a .yaml file.")]
Setting = Annotated[
    list[str] | None, typer.Option("--set", help="key=value, such as deployment.devices=2.")
]
Simulated = Annotated[
    bool | None, typer.Option("--simulated/--live", help="In virtual time, by a device profile.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


@app.command("list")
def list_(json_: Json = False) -> None:
    """List the experiments that come with the suite.

    Example: slbench experiments list
    """
    from ..experiment_files import load, shipped

    rows = [_row(load(name)) for name in shipped()]
    if json_:
        print(json.dumps({"experiments": rows}))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("experiment", "mode", "cells", "what it is", box=None)
    for row in rows:
        table.add_row(row["name"], row["mode"], str(row["cells"]), row["summary"])
    Console().print(table, markup=False)


def _row(experiment: Experiment) -> dict[str, Any]:
    from ..cells.plan import plan_cells

    return {
        "name": experiment.name,
        "mode": experiment.mode,
        "cells": sum(1 for _ in plan_cells(experiment)),
        "summary": experiment.summary,
    }


@app.command()
def show(
    name: Named, set_: Setting = None, simulated: Simulated = None, json_: Json = False
) -> None:
    """Show an experiment with every key, defaults included; what --set changes is changed.

    Example: slbench experiments show quickstart --set deployment.devices=2
    """
    import yaml

    content = _loaded(name, set_, simulated).model_dump(mode="json")
    print(json.dumps(content) if json_ else yaml.safe_dump(content, sort_keys=False), end="")
    if json_:
        print()


@app.command()
def check(
    name: Named, set_: Setting = None, simulated: Simulated = None, json_: Json = False
) -> None:
    """Check an experiment without running it: its keys and values, the names in it, and, if it is
    simulated, every system's deployment. Exit status 2 with a line for each mistake.

    Example: slbench experiments check main --simulated
    """
    from pydantic import ValidationError

    from ..execution.checking import check_experiment
    from ..mistakes import mistakes

    try:
        experiment = _loaded(name, set_, simulated)
    except ValidationError as error:
        for line in mistakes(error):
            print(f"slbench: {line}", file=sys.stderr)
        raise typer.Exit(2) from None
    check_experiment(experiment)
    row = _row(experiment)
    if json_:
        print(json.dumps(row))
    else:
        print(f"{name}: {row['cells']} cells, {_how(experiment)}")


def _loaded(name: str, settings: list[str] | None, simulated: bool | None) -> Experiment:
    from ..experiment_files import load, parse_setting
    from ..simulable import without_live_only

    changes = dict(parse_setting(text) for text in settings or [])
    if simulated is not None:
        changes["mode"] = "simulated" if simulated else "live"
    return without_live_only(load(name, changes))


def _how(experiment: Experiment) -> str:
    if experiment.mode == "simulated":
        return f"simulated, profile {experiment.profile}"
    return "live; whether this machine can serve them is checked by the run"
