"""``slbench figures``: draws the paper's figures from records."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..places import reference_runs

if TYPE_CHECKING:
    from paper_figures import Drawn


def figures(
    names: Annotated[list[str] | None, typer.Argument(help="Figure names; default: all.")] = None,
    from_: Annotated[
        list[str] | None,
        typer.Option("--from", help="A run or a sweep; repeat for more. Default: the reference."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Output folder.")] = Path("figures"),
    width: Annotated[
        str, typer.Option(help="As wide as a page, or as one of its two columns (85 mm): column.")
    ] = "page",
    json_: Annotated[bool, typer.Option("--json", help="Print the paths as JSON.")] = False,
) -> None:
    """Draw figures, each as PNG, PDF, SVG and a CSV of its data.

    Figures without the needed records are skipped with a message; exits with status 2 if such a
    figure was named. Example: slbench figures time-breakdown --from results/reference/quickstart
    """
    from paper_figures.style import drawn_for

    from ..errors import HarnessError

    for name in names or ():
        if "/" in name and Path(name).is_dir():
            raise HarnessError(f"{name}: is a folder, no figure; write --from before each run")
    with drawn_for(width):
        drawn = _from_records(names, from_, out) if from_ else _from_reference(names, out)
    paths = [str(path) for path in drawn.paths]
    if json_:
        print(json.dumps({"figures": paths, "skipped": list(drawn.skipped)}))
    elif paths:
        print("\n".join(paths))
    if drawn.skipped and (names or not paths):
        raise HarnessError(f"not drawn: {'; '.join(drawn.skipped)}")
    for line in drawn.skipped:
        print(f"skipped {line}", file=sys.stderr)


def _from_records(names: list[str] | None, records: list[str], out: Path) -> Drawn:
    from paper_figures import draw_records, open_record

    return draw_records(names or (), [open_record(name) for name in records], out)


def _from_reference(names: list[str] | None, out: Path) -> Drawn:
    from paper_figures import Drawn, draw_reference, figure_names, sweep_names

    wanted = names or [*figure_names(), *sweep_names()]
    reference = reference_runs()
    return Drawn([path for name in wanted for path in draw_reference(name, reference, out)])
