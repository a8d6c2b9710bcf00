"""``slbench run``: runs an experiment, from deployment to tables and figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..places import RUNS
from .consent import Yes
from .names import experiment_names, system_names, workload_names

if TYPE_CHECKING:
    from harness.execution.progress import Progress

    from ..records import Run


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


def run(
    context: typer.Context,
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

    from ..records import new_run
    from .chosen import choose, mode, named
    from .consent import check_experiment
    from .resuming import check_no_settings, resumed

    if resume and experiment is None:
        check_no_settings(context)
        make = partial(resumed, resume, out)
    else:
        given = {
            "seeds": seed,
            "repeats": repeats,
            "load_workers": load_workers,
            "mode": mode(simulated),
            "profile": profile,
            "deployment.device": device,
            "deployment.cluster": cluster,
        }
        chosen = choose(named(experiment, "run", "run"), system, workload, given, set_)
        chosen = chosen.tracing() if trace_decisions else chosen
        chosen = chosen.auditing(audit) if audit is not None else chosen
        check_experiment(chosen, yes=yes)
        content = chosen.model_dump(mode="json")
        make = partial(resumed, resume, out, chosen) if resume else partial(new_run, content, out)
    page = web_port or (8089 if web else None)
    record = _execute(make, workers, (load_hosts, listen), page, check_simulation)
    from .outcome import tell  # not before the run: it imports what draws

    raise typer.Exit(0 if tell(record, as_json=json_) else 1)


def _execute(
    make: Callable[[], Run],
    workers: int | None,
    load_hosts: tuple[int, str | None],
    page: int | None,
    check_simulation: str | None,
) -> Run:
    """Run the missing cells of the record that ``make`` creates or opens, and return it."""
    from harness.execution.progress import Progress
    from harness.execution.runner import Runner

    from ..errors import HarnessError
    from ..experiment import Experiment
    from . import listening
    from .keeping import keeping

    progress = Progress()
    with keeping(make) as record:
        chosen = Experiment.model_validate(record.experiment)
        if chosen.mode == "simulated":
            _check_not_live_only(page, load_hosts[0], check_simulation)
        if check_simulation and chosen.deployment.cluster:
            raise HarnessError("--check-simulation: a cluster cannot be simulated")
        with listening.load_hosts(*load_hosts) as hosts:
            Runner(chosen, record, progress, web_port=page, hosts=hosts).execute(workers)
    if check_simulation:
        _check_simulation(record, check_simulation, progress)
    return record


def _check_not_live_only(page: int | None, hosts: int, check_simulation: str | None) -> None:
    """Raise ``HarnessError`` for an option without an effect: in virtual time no load is sent."""
    from ..errors import HarnessError

    for option, is_given in (
        ("--web-port", page is not None),
        ("--load-hosts", hosts > 0),
        ("--check-simulation", check_simulation is not None),
    ):
        if is_given:
            raise HarnessError(f"{option}: is of a live run, and this one is simulated")


def _check_simulation(record: Run, profile: str, progress: Progress) -> None:
    from ..fidelity import checks
    from ..fidelity.lines import lines

    document = checks.check(record, profile, progress, keep=record.path / "simulated")
    checks.write(document, record.path / checks.FILE)
    for line in lines(document):
        progress.say(line)
