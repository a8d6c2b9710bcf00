"""``slbench figures``: the paper's figures from records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def figures(
    names: Annotated[list[str] | None, typer.Argument(help="Which; all if none is named.")] = None,
    from_: Annotated[
        list[str] | None, typer.Option("--from", help="A run; repeat for more.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where they go.")] = Path("figures"),
    json_: Annotated[bool, typer.Option("--json", help="Their paths as JSON.")] = False,
) -> None:
    """Draw figures, each as PNG, PDF, SVG and the CSV of what it shows.

    Example: slbench figures time-breakdown --from results/reference/quickstart
    """
    from paper_figures import draw, figure_names

    from ..records import open_run

    runs = [open_run(name) for name in from_ or ["results/reference/quickstart"]]
    wanted = names or figure_names()
    paths = [
        path
        for run in runs
        for name in wanted
        for path in draw(name, run, out / run.id if len(runs) > 1 else out)
    ]
    if json_:
        print(json.dumps({"figures": [str(path) for path in paths]}))
    else:
        print("\n".join(map(str, paths)))
