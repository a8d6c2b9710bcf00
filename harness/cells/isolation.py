"""Isolation levels and tenants of a cell: from the experiment's choices to the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

from harness.choices import DeploymentChoice, SystemChoice
from harness.errors import HarnessError
from systems.grouping import LEVELS, groups
from systems.interface import Deployment, Isolation, ServingSystem


def isolation_of(choice: DeploymentChoice, system: SystemChoice) -> Isolation:
    """Return the level for ``system``: its own, else the deployment's if the system has levels.
    Raise ``DeploymentError`` if the system does not have the level."""
    from systems.registry import system_class

    cls: type[ServingSystem] = system_class(system.name)
    if system.isolation is None and not cls.isolation_levels:
        return "function"
    level = system.isolation or choice.isolation
    cls.check_isolation(level)
    return level


def tenants_of(
    choice: DeploymentChoice, system: SystemChoice, functions: Sequence[str]
) -> Mapping[str, str]:
    """Return function → tenant, for the functions that have one. Raise ``HarnessError`` if a tenant
    is named for a function that does not exist."""
    told = choice.tenants if system.tenants is None else system.tenants
    if told is None:
        return {}
    if isinstance(told, int):
        return dict(zip(functions, cycle(f"t{index}" for index in range(told)), strict=False))
    unknown = [id_ for id_ in told if id_ not in functions]
    if unknown:
        known = ", ".join(
            functions if len(functions) < 10 else (*functions[:3], "…", functions[-1])
        )
        raise HarnessError(f"tenants: function {unknown[0]!r} is not deployed; deployed: {known}")
    return told


def groups_of(
    system: type[ServingSystem], deployment: Deployment
) -> dict[str, tuple[str, ...]] | None:
    """Return the ids of each group's functions; None if the system has no levels."""
    if not system.isolation_levels:
        return None
    found = groups(deployment.functions, deployment.isolation)
    return {id_: tuple(each.id for each in group) for id_, group in found.items()}


def level_gaps_of(system: type[ServingSystem], deployment: Deployment) -> tuple[str, ...] | None:
    """Return what the isolation level gives up compared with ``function``, a line each; None if the
    system has no levels."""
    return LEVELS[deployment.isolation].gaps if system.isolation_levels else None
