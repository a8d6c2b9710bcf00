"""``slbench serve``: runs one system until it is interrupted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import HarnessError
from .consent import Yes, check_written
from .greeting import greeting
from .names import backbone_names, system_names

if TYPE_CHECKING:
    from systems.interface import ServingSystem, SystemTrace


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
_MOST_GROUPS = 4
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

    Exits with status 1 if the system reports a problem. Example: slbench serve serverless-lora
    --port 8000
    """
    import os
    import signal
    import sys

    from harness.cells.deployments import check_machines, deployment_for, device_kind
    from harness.cells.isolation import groups_of
    from harness.cells.written import unmade
    from systems.access import VARIABLE
    from systems.registry import system_class

    from ..experiment import DeploymentChoice, SystemChoice, parse_setting

    if tokens is not None:
        os.environ[VARIABLE] = str(tokens.resolve())
    settings = {"backbone": backbone, **dict(parse_setting(text) for text in set_ or [])}
    own = {key: settings.pop(key, {}) for key in ("options", "policies")}
    own["isolation"] = settings.pop("isolation", isolation)
    adapters, names = _functions(adapter or [], functions, settings)
    given = {"adapters": adapters, "cluster": cluster, "tenants": _tenants(tenant)}
    choice = DeploymentChoice.model_validate({**given, **settings})
    cls = system_class(system)
    own["options"] = {**cls.served_with, **own["options"]}
    check_machines(cls, choice.cluster)
    if audit is not None:
        own["options"] = {**own["options"], "audit_s": _auditable(cls, audit)}
    device_kind(choice)
    check_written(unmade(choice, names), yes=yes)
    deployment = deployment_for(
        choice, SystemChoice(name=system, **own), names, host=host, port=port
    )
    groups = groups_of(cls, deployment)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    with cls() as running:
        running.configure(deployment)
        endpoint = running.deploy(deployment)
        if json_:
            document = {"base_url": endpoint.base_url, "models": endpoint.models}
            level = None if groups is None else deployment.isolation
            print(json.dumps({**document, "isolation": level, "groups": groups}), flush=True)
        if groups is not None:
            print(_grouped(deployment.isolation, groups), file=sys.stderr)
        asked = VARIABLE in os.environ
        skilled = names[0] if choice.adapters == "skills" else None
        print(greeting(endpoint.base_url, endpoint.models, asked, skilled), file=sys.stderr)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("stopping", file=sys.stderr)
    _tell(running.system_trace())


def _auditable(cls: type[ServingSystem], every_s: float) -> float:
    if not cls.audits:
        raise HarnessError(f"--audit: {cls.name} cannot audit shared backbones")
    return every_s


def _tell(system_trace: SystemTrace) -> None:
    """Print the number of audits and the problems; exit with status 1 if there are any."""
    import sys

    if "audits" in system_trace.measured:
        print(f"audited {system_trace.measured['audits']} times", file=sys.stderr)
    for problem in system_trace.problems:
        print(f"problem: {problem}", file=sys.stderr)
    if system_trace.problems:
        raise typer.Exit(1)


def _functions(
    adapters: list[Path], count: int | None, settings: Mapping[str, Any]
) -> tuple[list[Path] | str, list[str]]:
    """Return the deployment's choice of adapters, and the names of the functions."""
    from systems.models import model_name
    from systems.models.skills import BACKBONE, skills

    if adapters:
        return adapters, [model_name(path) for path in adapters]
    if count is None and settings["backbone"] == BACKBONE and not settings.get("backbones"):
        return "skills", list(skills())
    return [], [f"f{index}" for index in range(count or 8)]


def _tenants(pairs: list[str] | None) -> dict[str, str] | None:
    """Parse FUNCTION=TENANT; None if there are none."""
    found = dict(text.partition("=")[::2] for text in pairs or [])
    for function, tenant in found.items():
        if not (function and tenant):
            raise HarnessError(f"--tenant {function}: write FUNCTION=TENANT, such as f0=acme")
    return found or None


def _grouped(level: str, groups: Mapping[str, tuple[str, ...]]) -> str:
    """Describe in one line which functions share instances."""
    shared = [f"{id_} ({len(each)} functions)" for id_, each in groups.items() if len(each) > 1]
    if not shared:
        return f"isolation level {level}: no two functions share an instance"
    more = f" and {len(shared) - _MOST_GROUPS} more" if len(shared) > _MOST_GROUPS else ""
    alone = len(groups) - len(shared)
    others = f"; functions that share with no other: {alone}" if alone else ""
    named = ", ".join(shared[:_MOST_GROUPS])
    return f"isolation level {level}: instances are shared within {named}{more}{others}"
