"""``slbench fidelity``: simulates live runs and compares."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..places import REFERENCE, reference_runs

if TYPE_CHECKING:
    from harness.execution.progress import Progress

    from ..fidelity.checks import Checked


def fidelity(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of live runs; default: each profile's reference records."),
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(help="Device profile; repeat for more. Default: all that have records."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for fidelity-PROFILE.json; with no RUN, the reference records."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Simulate what RUNS ran and compare: mean and p95 of TTFT, TPOT and E2E, starts, cost.

    Exit status 1 where a quantity is beyond its bounds. Example: slbench fidelity --profile h100
    """
    from harness.execution.progress import Progress

    from ..errors import HarnessError
    from ..fidelity.agreement import outside
    from ..fidelity.checks import Checked, reference_file, reference_records, write
    from ..fidelity.lines import lines

    known = reference_records()
    if runs and len(profile or ()) != 1:
        raise HarnessError("fidelity: name one --profile for RUNS")
    documents = []
    for name in profile or known:
        checked = Checked() if runs else known.get(name, Checked())
        paths = runs or [reference_runs() / record for record in checked.records]
        if not paths:
            there = ", ".join(known)
            raise HarnessError(f"--profile {name}: no reference records (of {there}); name RUNS")
        documents.append(_checked(paths, name, checked, Progress()))
        folder = out or (None if runs else REFERENCE)
        if folder is not None:
            write(documents[-1], reference_file(documents[-1]["profile"], folder))
        if not json_:
            print(*lines(documents[-1]), sep="\n")
    if json_:
        print(json.dumps({"checks": documents}))
    beyond = any(outside(row) for document in documents for row in document["cells"])
    raise typer.Exit(1 if beyond else 0)


def _checked(
    paths: list[Path], profile: str, checked: Checked, progress: Progress
) -> dict[str, Any]:
    from ..errors import HarnessError
    from ..fidelity.checks import check_all
    from ..records import open_run

    runs = [open_run(path) for path in paths]
    for run in runs:
        if any(cell.manifest.mode == "simulated" for cell in run.cells()):
            raise HarnessError(f"{run.path}: is a simulation; name live runs")
    return check_all(runs, profile, progress, of=checked)
