"""The factors in which compared cells may differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import HarnessError
from ..records import Manifest
from .leaves import LOAD, Leaves, leaves, under, unknown


@dataclass(frozen=True, slots=True)
class Factor:
    """``told_by``: parts of the manifest that name a level; later ones are used if earlier ones do
    not distinguish the levels. ``frees``: parts that follow from the level and so may differ.
    ``schemas``: whether keys that only one of two manifests has may differ. ``listed``: whether the
    differences are listed."""

    name: str
    told_by: tuple[str, ...]
    frees: tuple[str, ...]
    schemas: bool = False
    listed: bool = False

    def may_differ(self, path: str, ours: Leaves, theirs: Leaves) -> bool:
        """Whether the leaf may differ between two levels."""
        if under(path, self.frees):
            return True
        return self.schemas and (unknown(path, ours) or unknown(path, theirs))


VERSIONED = (
    "git", "versions", "system.version", "system.policies", "system.options", "profile.sha256",
)  # fmt: skip
"""Parts that depend on the code: policies and their names, option defaults, device profiles."""

LABEL = "system.label"

SWEPT = ("workload", "schedule_sha256", "deployment", "system.options", "system.policies")
"""Parts in which two points of a sweep may differ, beside the isolation level and the tenants."""

ISOLATION = ("system.isolation", "system.tenants")
"""Parts from which it follows which functions share instances."""

# A schedule depends on workload, seed and the backbone's vocabulary, so another deployment may
# change it. The deployed functions depend on the workload.
FACTORS = {
    each.name: each
    for each in (
        Factor("system", (LABEL, "system.isolation"), ("system",)),
        Factor("isolation", ISOLATION, ISOLATION),
        Factor("options", ("system.options",), ("system.options", "system.policies")),
        Factor("policies", ("system.policies",), ("system.policies",)),
        Factor(
            "workload",
            ("workload.name", LOAD),
            ("workload", "schedule_sha256", "deployment.functions"),
        ),
        Factor("sweep", ("workload.name",), (*SWEPT, *ISOLATION)),
        Factor("deployment", ("deployment",), ("deployment", "schedule_sha256")),
        Factor("prices", ("prices.name",), ("prices",)),
        Factor("machine", ("machine",), ("machine", "versions")),
        Factor("run", ("run_id",), VERSIONED, schemas=True, listed=True),
        Factor("version", ("git.commit",), VERSIONED, schemas=True, listed=True),
        Factor("mode", ("mode",), ("mode", "profile", "machine", "versions")),
    )
}


def factor(name: str) -> Factor:
    """Return a factor. Raises ``HarnessError``, which lists the known names."""
    if name not in FACTORS:
        raise HarnessError(f"--factor {name!r} is unknown; known: {', '.join(FACTORS)}")
    return FACTORS[name]


def allowing(paths: Sequence[str], ours: Leaves, theirs: Leaves) -> str | None:
    """Return the factor whose level is told by the part of the manifest that one of ``paths`` is
    in, and in which all of them may differ, or None."""
    return next(
        (
            each.name
            for each in FACTORS.values()
            if {root.partition(".")[0] for root in each.told_by}
            & {path.partition(".")[0] for path in paths}
            and all(each.may_differ(path, ours, theirs) for path in paths)
        ),
        None,
    )


def level_names(chosen: Factor, manifests: Sequence[Manifest]) -> list[str]:
    """Name the level of each manifest by what distinguishes it from the others; if systems are not
    compared, by what distinguishes it from others of its system, where anything does."""
    first, *further = chosen.told_by
    whole = [leaves(each, chosen.told_by) for each in manifests]
    systems = [each.label for each in manifests]
    told = whole if LABEL in chosen.told_by else _of_systems(whole, systems) or whole
    names = _telling(told, first)
    if not any(names):
        path = next((path for path in whole[0] if under(path, (first,))), first)
        names = [_shown(first, path, each.get(path)) for each in whole]
    for root in further:
        names = _told_further(told, root, names)
    return names


def _of_systems(told: Sequence[Leaves], systems: Sequence[str | None]) -> list[Leaves]:
    """Keep the values that are not equal in all manifests of a system; empty if all are."""
    alike = [[each for each, of in zip(told, systems, strict=True) if of == s] for s in {*systems}]
    telling = {path for some in alike for path in _unequal(some)}
    kept: list[Leaves] = [{at: each[at] for at in each if at in telling} for each in told]
    return kept if telling else []


def _told_further(told: Sequence[Leaves], root: str, names: Sequence[str]) -> list[str]:
    """Extend equal names by values that distinguish them."""
    found = list(names)
    for name in set(names):
        alike = [index for index, each in enumerate(names) if each == name]
        telling = _telling([told[index] for index in alike], root)
        for index, text in zip(alike, telling, strict=True):
            found[index] = ", ".join(filter(None, (name, text)))
    return found


def _telling(told: Sequence[Leaves], root: str) -> list[str]:
    """For each, the values under ``root`` that are not equal in all; empty if it has none."""
    telling = [path for path in _unequal(told) if under(path, (root,))]
    if telling == [root]:
        return ["" if each.get(root) is None else str(each[root]) for each in told]
    return [", ".join(_shown(root, path, each.get(path)) for path in telling) for each in told]


def _unequal(told: Sequence[Leaves]) -> list[str]:
    paths = dict.fromkeys(path for each in told for path in each)
    return [path for path in paths if len({str(each.get(path)) for each in told}) > 1]


def _shown(root: str, path: str, value: object) -> str:
    return str(value) if path == root else f"{path.removeprefix(f'{root}.')}={value}"
