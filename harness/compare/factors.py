"""What may differ between compared cells, and what a manifest says of the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import HarnessError
from ..records import Manifest

CHECKED = (
    "mode", "schedule_sha256", "workload.name", "workload.kind", "workload.sha256", "seed",
    "system", "deployment", "prices.sha256", "profile.sha256", "machine", "versions", "git.commit",
)  # fmt: skip
"""Parts of a manifest in which compared cells must agree."""

Leaves = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Factor:
    """``told_by``: the part of the manifest that names a level; ``frees``: the parts that follow
    from the level and so may differ between levels."""

    name: str
    told_by: str
    frees: tuple[str, ...]


# A schedule follows from the workload, the seed and the backbone's vocabulary, so that another
# deployment may have another one; which functions are deployed follows from the workload.
FACTORS = {
    each.name: each
    for each in (
        Factor("system", "system.name", ("system",)),
        Factor("options", "system.options", ("system.options", "system.policies")),
        Factor(
            "workload", "workload.name", ("workload", "schedule_sha256", "deployment.functions")
        ),
        Factor("deployment", "deployment", ("deployment", "schedule_sha256")),
        Factor("prices", "prices.name", ("prices",)),
        Factor("machine", "machine", ("machine", "versions")),
        Factor("version", "git.commit", ("git", "versions", "system.version")),
        Factor("mode", "mode", ("mode", "profile", "machine", "versions")),
    )
}


def factor(name: str) -> Factor:
    """``HarnessError`` names those there are."""
    if name not in FACTORS:
        raise HarnessError(f"--factor {name!r} is unknown; known: {', '.join(FACTORS)}")
    return FACTORS[name]


def leaves(manifest: Manifest) -> Leaves:
    """Every checked value by its dotted path."""
    content = manifest.model_dump(mode="json", by_alias=True)
    return {path: value for root in CHECKED for path, value in _flat(root, part(content, root))}


def part(content: Any, path: str) -> Any:
    """What lies at a dotted path; None where nothing does."""
    for key in path.split("."):
        content = content.get(key) if isinstance(content, Mapping) else None
    return content


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{path}.{key}", inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _flat(f"{path}.{index}", inner)
    else:
        yield path, value


def under(path: str, roots: Sequence[str]) -> bool:
    """Whether a leaf lies under one of the parts."""
    return any(path == root or path.startswith(f"{root}.") for root in roots)


def difference(ours: Leaves, theirs: Leaves, freed: Sequence[str]) -> str | None:
    """The first leaf in which two manifests differ that is not freed."""
    for path in dict.fromkeys((*ours, *theirs)):
        if ours.get(path) != theirs.get(path) and not under(path, freed):
            return path
    return None


def level_names(chosen: Factor, manifests: Sequence[Manifest]) -> list[str]:
    """A name for each manifest's level: what tells it from the others, and no more."""
    contents = [each.model_dump(mode="json", by_alias=True) for each in manifests]
    flat = [dict(_flat(chosen.told_by, part(each, chosen.told_by))) for each in contents]
    paths = dict.fromkeys(path for each in flat for path in each)
    telling = [path for path in paths if len({str(each.get(path)) for each in flat}) > 1]
    telling = telling or list(paths)[:1]
    if telling == [chosen.told_by]:
        return [str(each.get(chosen.told_by)) for each in flat]
    short = {path: path.removeprefix(f"{chosen.told_by}.") for path in telling}
    return [", ".join(f"{short[p]}={each.get(p)}" for p in telling) for each in flat]
