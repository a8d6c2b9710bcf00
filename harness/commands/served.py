"""What ``slbench serve`` serves: a system and its deployment, from the command's options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from systems.interface import Deployment, ServingSystem
from systems.models import model_name
from systems.models.skills import BACKBONE, skills
from systems.registry import system_class

from ..cells.deployments import check_machines, deployment_for, device_kind
from ..cells.isolation import groups_of
from ..cells.written import unmade
from ..choices import DeploymentChoice, SystemChoice
from ..errors import HarnessError
from ..experiment_files import parse_setting
from ..mistakes import noted
from .consent import check_written


@dataclass(frozen=True, slots=True)
class Served:
    """A system and its deployment. ``groups``: the functions of each group, None if the system has
    no isolation levels; ``skilled``: a function with a skill, or None."""

    system: type[ServingSystem]
    deployment: Deployment
    groups: Mapping[str, tuple[str, ...]] | None
    skilled: str | None


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command as given; ``functions``: how many, where ``adapters`` are not
    named; ``settings``: KEY=VALUE each; ``audit``: seconds between audits."""

    system: str
    backbone: str
    adapters: Sequence[Path]
    functions: int | None
    host: str
    port: int
    isolation: str | None
    tenants: Sequence[str]
    cluster: str | None
    settings: Sequence[str]
    audit: float | None


def served(given: Options, *, yes: bool) -> Served:
    """Make the deployment, with models that are missing. Raise ``HarnessError`` or
    ``DeploymentError`` for what cannot be served, before any model is made, and, without ``yes``,
    if that would write gigabytes."""
    cls = system_class(given.system)
    settings = {"backbone": given.backbone, **dict(map(parse_setting, given.settings))}
    system = _own(cls, given, settings)
    adapters, names = functions(list(given.adapters), given.functions, settings)
    told = {"adapters": adapters, "cluster": given.cluster, "tenants": tenants(given.tenants)}
    with noted("deployment"):
        choice = DeploymentChoice.model_validate({**told, **settings})
    check_machines(cls, choice.cluster)
    device_kind(choice)
    check_written(unmade(choice, names), yes=yes)
    deployment = deployment_for(choice, system, names, host=given.host, port=given.port)
    skilled = names[0] if choice.adapters == "skills" else None
    return Served(cls, deployment, groups_of(cls, deployment), skilled)


def _own(cls: type[ServingSystem], given: Options, settings: dict[str, Any]) -> SystemChoice:
    """Remove the system's own settings from ``settings`` and return the system with them."""
    if given.audit is not None and not cls.audits:
        raise HarnessError(f"--audit: {cls.name} cannot audit shared backbones")
    audit = {} if given.audit is None else {"audit_s": given.audit}
    own = {key: settings.pop(key) for key in ("options", "policies") if key in settings}
    isolation = settings.pop("isolation", given.isolation)
    with noted(given.system):
        system = SystemChoice.model_validate({"name": given.system, "isolation": isolation, **own})
    return system.model_copy(update={"options": {**cls.served_with, **system.options, **audit}})


def functions(
    adapters: list[Path], count: int | None, settings: Mapping[str, Any]
) -> tuple[list[Path] | str, list[str]]:
    """Return the deployment's choice of adapters, and the names of the functions."""
    if adapters:
        return adapters, [model_name(path) for path in adapters]
    if count is None and settings["backbone"] == BACKBONE and not settings.get("backbones"):
        return "skills", list(skills())
    return [], [f"f{index}" for index in range(count or 8)]


def tenants(pairs: Sequence[str]) -> dict[str, str] | None:
    """Parse FUNCTION=TENANT; None if there are none. Raise ``HarnessError``."""
    found = dict(text.partition("=")[::2] for text in pairs)
    for function, tenant in found.items():
        if not (function and tenant):
            raise HarnessError(f"--tenant {function}: write FUNCTION=TENANT, such as people=acme")
    return found or None
