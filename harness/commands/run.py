"""``slbench run``: runs an experiment, from deployment to tables and figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..places import RUNS
from .consent import Yes
from .names import experiment_names, system_names, workload_names

if TYPE_CHECKING:
    from harness.execution.progress import Progress
    from paper_figures import Drawn

    from ..experiment import Experiment
    from ..records import Cell, Run


Named = Annotated[
    str | None,
    typer.Argument(
        help="A shipped experiment, or a .yaml file.",
        show_default=False,
        autocompletion=experiment_names,
    ),
]
System = Annotated[
    list[str] | None,
    typer.Option(
        help="Only this system, by label or name; repeat for more.", autocompletion=system_names
    ),
]
Workload = Annotated[
    list[str] | None,
    typer.Option(
        help="Only this workload, by label or name; repeat for more.",
        autocompletion=workload_names,
    ),
]
Seed = Annotated[list[int] | None, typer.Option(help="Seed; repeat for more.")]
Repeats = Annotated[int | None, typer.Option(min=1, help="Times each cell is run.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes for simulated cells; default: one a core.")
]
LoadWorkers = Annotated[int | None, typer.Option(min=1, help="Locust workers.")]
LoadHosts = Annotated[int, typer.Option(min=0, help="Locust workers that run on other hosts.")]
Listen = Annotated[
    str | None, typer.Option(help="HOST[:PORT] under which load hosts reach this host.")
]
Setting = Annotated[
    list[str] | None, typer.Option("--set", help="key=value, such as deployment.devices=2.")
]
Resume = Annotated[
    str | None, typer.Option(help="Run the missing cells of this run, with its settings.")
]
Simulated = Annotated[
    bool | None, typer.Option("--simulated/--live", help="In virtual time, by a device profile.")
]
Profile = Annotated[
    str | None, typer.Option(help="Device profile of the simulation: a name or .toml file.")
]
TraceDecisions = Annotated[
    bool,
    typer.Option(
        "--trace-decisions", help="Record each decision with its numbers, where a system can."
    ),
]
Audit = Annotated[
    float | None, typer.Option(min=0.1, help="Seconds between checksums of each shared backbone.")
]
CheckSimulation = Annotated[
    str | None, typer.Option(help="Profile: simulate the live run too; record and show errors.")
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, or auto: a card where there is one.")]
Cluster = Annotated[
    str | None,
    typer.Option(help="local:N for N nodes on this machine, or HOST:PORT of a Ray cluster."),
]
Web = Annotated[bool, typer.Option("--web", help="As --web-port 8089.")]
WebPort = Annotated[
    int | None, typer.Option(min=1, max=65535, help="Port of Locust's page while load is sent.")
]
Out = Annotated[Path, typer.Option(help="Folder for runs.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]

_MOST_LOADS = 24
"""Limit of the workloads and seeds in printed tables. Tables of more would take longer to make than
the cells of a sweep."""


def run(
    experiment: Named = None,
    system: System = None,
    workload: Workload = None,
    seed: Seed = None,
    repeats: Repeats = None,
    workers: Workers = None,
    load_workers: LoadWorkers = None,
    load_hosts: LoadHosts = 0,
    listen: Listen = None,
    set_: Setting = None,
    resume: Resume = None,
    simulated: Simulated = None,
    profile: Profile = None,
    trace_decisions: TraceDecisions = False,
    audit: Audit = None,
    check_simulation: CheckSimulation = None,
    device: Device = None,
    cluster: Cluster = None,
    web: Web = False,
    web_port: WebPort = None,
    yes: Yes = False,
    out: Out = RUNS,
    json_: AsJson = False,
) -> None:
    """Run EXPERIMENT: deploy each system, replay each workload, keep records, compare.

    Exit status 1 where a cell is invalid. Example: slbench run quickstart --seed 1
    """
    from functools import partial

    from harness.execution.progress import Progress
    from harness.execution.runner import Runner

    from ..errors import HarnessError
    from ..experiment import Experiment
    from ..records import new_run, open_run
    from . import listening
    from .consent import check_experiment
    from .keeping import keeping

    if resume:
        make = partial(open_run, resume, out)
    else:
        given = {
            "seeds": seed,
            "repeats": repeats,
            "load_workers": load_workers,
            "mode": None if simulated is None else "simulated" if simulated else "live",
            "profile": profile,
            "deployment.device": device,
            "deployment.cluster": cluster,
        }
        chosen = _choose(_asked(experiment), system, workload, given, set_)
        chosen = chosen.tracing() if trace_decisions else chosen
        chosen = chosen.auditing(audit) if audit is not None else chosen
        check_experiment(chosen, yes=yes)
        make = partial(new_run, chosen.model_dump(mode="json"), out)
    progress = Progress()
    with keeping(make) as record:
        chosen = Experiment.model_validate(record.experiment)
        if check_simulation and chosen.deployment.cluster:
            raise HarnessError("--check-simulation: a cluster cannot be simulated")
        with listening.load_hosts(load_hosts, listen) as hosts:
            page = web_port or (8089 if web else None)
            Runner(chosen, record, progress, web_port=page, hosts=hosts).execute(workers)
    if check_simulation:
        _check_simulation(record, check_simulation, progress)
    raise typer.Exit(0 if _tell(record, chosen, as_json=json_) else 1)


def _check_simulation(record: Run, profile: str, progress: Progress) -> None:
    from ..fidelity import checks
    from ..fidelity.lines import lines

    document = checks.check(record, profile, progress, keep=record.path / "simulated")
    checks.write(document, record.path / checks.FILE)
    for line in lines(document):
        progress.say(line)


def _tell(record: Run, chosen: Experiment, *, as_json: bool) -> bool:
    """Draw the figures, print the result, and return whether all cells are valid."""
    document = _document(record)
    figures = _figures(record, chosen)
    if as_json:
        print(json.dumps(document))
    else:
        _show(record, chosen, document, figures)
    return bool(document["valid"])


def _asked(experiment: str | None) -> str:
    from ..errors import HarnessError

    if experiment is None:
        raise HarnessError("run: name an EXPERIMENT, or a run with --resume")
    return experiment


def _choose(
    name: str,
    systems: list[str] | None,
    workloads: list[str] | None,
    given: dict[str, Any],
    settings: list[str] | None,
) -> Experiment:
    """Return the named experiment with the command-line options applied."""
    from ..experiment import Experiment, load, parse_setting

    changes: dict[str, Any] = dict(parse_setting(text) for text in settings or [])
    changes |= {key: value for key, value in given.items() if value is not None}
    # Checked below against the systems that are left.
    baseline = changes.pop("baseline", None)
    content = load(name, changes).model_dump()
    for key, wanted in (("systems", systems), ("workloads", workloads)):
        if wanted:
            picked = [each for named in wanted for each in _picked(named, content[key])]
            content[key] = list({each.get("label", each["name"]): each for each in picked}.values())
    left = [each.get("label", each["name"]) for each in content["systems"]]
    if baseline or content["baseline"] not in left:
        content["baseline"] = baseline
    return Experiment.model_validate(content)


def _picked(named: str, choices: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the choice with the label ``named``, else all with this name, else a new one."""
    for key in ("label", "name"):
        if found := [each for each in choices if each[key] == named]:
            return found
    return [{"name": named}]


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
        "warnings": _warnings(cells),
        "systems": systems,
    }


def _warnings(cells: list[Cell]) -> list[str]:
    """Collect the warnings: missed targets of the calibration, and the cells' own warnings."""
    calibrations = [cell.manifest.calibration or {} for cell in cells]
    found = {problem for each in calibrations for problem in each.get("problems", ())}
    found |= {
        f"{cell.system}/{cell.workload}: {warning}"
        for cell in cells
        for warning in cell.manifest.warnings
    }
    return sorted(found)


def _figures(record: Run, chosen: Experiment) -> Drawn:
    from paper_figures import draw_each

    return draw_each(chosen.figures, record, record.path / "figures")


def _show(record: Run, chosen: Experiment, document: dict[str, Any], figures: Drawn) -> None:
    from rich.console import Console

    from ..report.table import comparison_table

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
