"""Asks before a command writes gigabytes; first refuses what this machine cannot serve."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import HarnessError

if TYPE_CHECKING:
    from ..cells.written import Written
    from ..experiment import Experiment

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Write models of gigabytes if needed.")]


def check_experiment(experiment: Experiment, *, yes: bool) -> None:
    """Raise ``SystemsError`` if a system of a live experiment is unknown, ``WorkloadError`` if a
    workload is, and ``HarnessError`` if this machine lacks its devices or, without ``yes``, if it
    would write gigabytes."""
    from workloads import catalogue

    from ..cells.deployments import device_kind, function_ids
    from ..cells.plan import samples
    from ..cells.written import unmade

    if experiment.mode == "simulated":
        return
    _check_names(experiment)
    found: dict[str, Written] = {}
    for plan in samples(experiment):
        device_kind(plan.deployment)
        if not yes:
            chosen = plan.workload
            workload = catalogue.load(chosen.name, seed=plan.seed, **chosen.overrides)
            for each in unmade(plan.deployment, function_ids(workload)):
                found[each.what] = each
    check_written(found.values(), yes=yes)


def _check_names(experiment: Experiment) -> None:
    """A name that is mistyped is told even where devices are missing too."""
    from systems.registry import system_class
    from workloads import catalogue

    for system in experiment.systems:
        system_class(system.name)
    for workload in experiment.workloads:
        catalogue.check(workload.name)


def check_written(written: Iterable[Written], *, yes: bool) -> None:
    """Raise ``HarnessError`` if ``written`` is much and not agreed to with ``yes``."""
    from systems.models import cache_root

    from ..cells.written import MUCH_BYTES

    made = list(written)
    total = sum(each.nbytes for each in made)
    if total >= MUCH_BYTES and not yes:
        parts = ", ".join(f"{each.what} ({each.nbytes / 1e9:.3g} GB)" for each in made)
        raise HarnessError(
            f"this makes {parts}, once, in {cache_root()} (SLBENCH_CACHE names another place);"
            f" add --yes to write {total / 1e9:.3g} GB"
        )
