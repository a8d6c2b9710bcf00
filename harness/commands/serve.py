"""``slbench serve``: runs one system until it is interrupted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .consent import Yes
from .names import backbone_names, system_names

if TYPE_CHECKING:
    from systems.interface import SystemTrace

    from .served import Served

_LOOK_MS = 200
"""Python notices a signal that comes just before a blocking call only after the call."""

Named = Annotated[
    str,
    typer.Argument(help="Name of a system; see slbench systems list.", autocompletion=system_names),
]
Backbone = Annotated[
    str,
    typer.Option(help="Preset or Hugging Face directory.", autocompletion=backbone_names),
]
Adapters = Annotated[
    list[Path] | None, typer.Option(help="peft directory; repeat for more functions.")
]
Functions = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Functions with seeded adapters, where none are named. Default: one for each skill of"
        " smollm2-135m (slbench models skills), 8 on other backbones.",
    ),
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")]
Tokens = Annotated[
    Path | None,
    typer.Option(help="File of tokens by function; sets SLBENCH_TOKENS."),
]
IsolationLevel = Annotated[
    str | None, typer.Option("--isolation", help="Isolation level; see slbench systems show.")
]
Tenants = Annotated[
    list[str] | None,
    typer.Option("--tenant", help="FUNCTION=TENANT; repeat. Others are their own tenants."),
]
Cluster = Annotated[
    str | None,
    typer.Option(help="local:N for N nodes on this machine, or HOST:PORT of a Ray cluster."),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Deployment key=value: dtype=bfloat16.")
]
Audit = Annotated[
    float | None, typer.Option(min=0.1, help="Seconds between checksums of each shared backbone.")
]
AsJson = Annotated[bool, typer.Option("--json", help="The endpoint as JSON.")]


def serve(
    system: Named,
    backbone: Backbone = "smollm2-135m",
    adapter: Adapters = None,
    functions: Functions = None,
    host: str = "127.0.0.1",
    port: Port = 8000,
    tokens: Tokens = None,
    isolation: IsolationLevel = None,
    tenant: Tenants = None,
    cluster: Cluster = None,
    set_: Settings = None,
    audit: Audit = None,
    yes: Yes = False,
    json_: AsJson = False,
) -> None:
    """Serve SYSTEM behind its OpenAI-compatible endpoint until Ctrl-C.

    Unlike an experiment, it loads the backbone of serverless-lora before it answers, so that the
    first call does not wait for it (--set 'options={backbones_at_deployment: false}').

    Exits with status 1 if the system reports a problem or ends by itself. Example: slbench serve
    serverless-lora --port 8000
    """
    import os

    from systems.access import VARIABLE

    from .served import Options, served

    if tokens is not None:
        os.environ[VARIABLE] = str(tokens.resolve())
    given = Options(
        system=system,
        backbone=backbone,
        adapters=adapter or (),
        functions=functions,
        host=host,
        port=port,
        isolation=isolation,
        tenants=tenant or (),
        cluster=cluster,
        settings=set_ or (),
        audit=audit,
    )
    chosen = served(given, yes=yes)
    _tell(*_run(chosen, needs_token=VARIABLE in os.environ, as_json=json_))


def _run(chosen: Served, *, needs_token: bool, as_json: bool) -> tuple[SystemTrace, Sequence[str]]:
    """Deploy, say where the endpoint is, and stop at an interrupt or when a process of the system
    ends. Return the system's trace, and what ended."""
    import signal
    import sys

    from . import greeting

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    with chosen.system() as running:
        running.configure(chosen.deployment)
        endpoint = running.deploy(chosen.deployment)
        if as_json:
            print(json.dumps(greeting.document(endpoint, chosen)), flush=True)
        print(greeting.lines(endpoint, chosen, needs_token), file=sys.stderr)
        ended: Sequence[str] = ()
        try:
            ended = [f"process {first_to_end(endpoint.pids)} of {chosen.system.name} ended"]
        except KeyboardInterrupt:
            print("stopping", file=sys.stderr)
    return running.system_trace(), ended


def first_to_end(pids: Sequence[int]) -> int:
    """Wait until one of these processes ends, and return it. A system without processes here is
    waited for until a signal raises."""
    import os
    import select

    ends, ready = {}, select.poll()
    with ExitStack() as opened:
        for pid in pids:
            try:
                end = os.pidfd_open(pid)
            except ProcessLookupError:
                return pid
            opened.callback(os.close, end)
            ends[end] = pid
            ready.register(end, select.POLLIN)
        ended: list[tuple[int, int]] = []
        while not ended:
            ended = ready.poll(_LOOK_MS)
        return ends[ended[0][0]]


def _tell(system_trace: SystemTrace, ended: Sequence[str]) -> None:
    """Print the number of audits and the problems; exit with status 1 if there are any."""
    import sys

    if "audits" in system_trace.measured:
        print(f"audited {system_trace.measured['audits']} times", file=sys.stderr)
    problems = [*ended, *system_trace.problems]
    for problem in problems:
        print(f"problem: {problem}", file=sys.stderr)
    if problems:
        raise typer.Exit(1)
