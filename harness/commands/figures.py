"""``slbench figures``: the paper's figures from records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..places import REFERENCE


def figures(
    names: Annotated[list[str] | None, typer.Argument(help="Which; all if none is named.")] = None,
    from_: Annotated[
        list[str] | None,
        typer.Option("--from", help="A run; repeat for more. None: the reference runs."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where they go.")] = Path("figures"),
    json_: Annotated[bool, typer.Option("--json", help="Their paths as JSON.")] = False,
) -> None:
    """Draw figures, each as PNG, PDF, SVG and the CSV of what it shows.

    Example: slbench figures time-breakdown --from results/reference/quickstart
    """
    paths = _from_runs(names, from_, out) if from_ else _from_reference(names, out)
    if json_:
        print(json.dumps({"figures": [str(path) for path in paths]}))
    else:
        print("\n".join(map(str, paths)))


def _from_runs(names: list[str] | None, runs: list[str], out: Path) -> list[Path]:
    from paper_figures import draw, figure_names

    from ..records import open_run

    opened = [open_run(name) for name in runs]
    return [
        path
        for run in opened
        for name in names or figure_names()
        for path in draw(name, run, out / run.id if len(opened) > 1 else out)
    ]


def _from_reference(names: list[str] | None, out: Path) -> list[Path]:
    from paper_figures import draw_reference, figure_names, sweep_names

    wanted = names or [*figure_names(), *sweep_names()]
    return [path for name in wanted for path in draw_reference(name, REFERENCE, out)]
