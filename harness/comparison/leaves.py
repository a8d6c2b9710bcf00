"""The values of a manifest by dotted path, and the differences between two manifests."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ..records import Manifest
from .loads import made

LOAD, LENGTH = "workload.provenance", "workload.duration_s"
CHECKED = (
    "mode", "workload.name", "workload.kind", LOAD, "workload.sha256", LENGTH,
    "schedule_sha256", "load", "seed", "system", "deployment", "prices.sha256", "profile.name",
    "profile.sha256", "machine", "versions", "git.commit",
)  # fmt: skip
"""Parts in which compared cells must agree; causes come before their consequences."""

Leaves = Mapping[str, Any]
"""Values by their dotted paths."""


def content(manifest: Manifest) -> dict[str, Any]:
    """Return the manifest's content; its load is described by how it was made (without seeds). To
    ``system`` are added its label and, where known, its isolation level and the tenants. A
    simulated cell depends on its profile, not on the machine that computed it, so ``machine`` is
    removed."""
    found = manifest.model_dump(mode="json", by_alias=True)
    if manifest.mode == "simulated":
        del found["machine"]
    if "provenance" in found["workload"]:
        found["workload"]["provenance"] = made(found["workload"]["provenance"])
    found["system"] |= {"label": manifest.label, **_separated(found)}
    return found


def _separated(found: dict[str, Any]) -> dict[str, Any]:
    """Take out the isolation level and the tenant of each function; those that are not None."""
    functions = found["deployment"].get("functions", ())
    tenants = {each["id"]: each.pop("tenant", None) for each in functions}
    level = found.pop("isolation")
    return {
        **({"isolation": level} if level else {}),
        "tenants": {function: tenant for function, tenant in tenants.items() if tenant},
    }


def leaves(manifest: Manifest, roots: Sequence[str] = CHECKED) -> dict[str, Any]:
    """Return every value under the roots by its dotted path."""
    whole = content(manifest)
    return {path: value for root in roots for path, value in _flat(root, part(whole, root))}


def part(content: Any, path: str) -> Any:
    """Return the value at a dotted path; None if there is none."""
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
    """Whether a leaf is under one of the roots."""
    return any(path == root or path.startswith(f"{root}.") for root in roots)


def unknown(path: str, known: Collection[str]) -> bool:
    """Whether a manifest with these leaves lacks a key of ``path`` in its schema. A missing list
    item is content, not schema."""
    keys = path.split(".")
    for depth, key in enumerate(keys, start=1):
        place = ".".join(keys[:depth])
        if not any(under(leaf, (place,)) for leaf in known):
            return not key.isdigit()
    return False


def differences(ours: Leaves, theirs: Leaves) -> Iterator[str]:
    """Yield the paths at which two manifests differ; a value may also be missing in one. Loads with
    the same digest have equal requests, however they were made; earlier manifests do not say how
    long they last."""
    same_load = ours.get("workload.sha256") == theirs.get("workload.sha256") is not None
    paths = dict.fromkeys((*ours, *theirs))
    differing = [path for path in paths if ours.get(path) != theirs.get(path)]
    for path in sorted(differing, key=_rank):
        unsaid = path == LENGTH and None in (ours.get(path), theirs.get(path))
        if not (same_load and (unsaid or under(path, (LOAD,)))):
            yield path


def _rank(path: str) -> int:
    """Position of the path's root in ``CHECKED``."""
    return next(rank for rank, root in enumerate(CHECKED) if under(path, (root,)))
