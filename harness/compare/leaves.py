"""What a manifest says of a cell, value by value, and where two manifests differ."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ..records import Manifest
from .loads import made

LOAD = "workload.provenance"
CHECKED = (
    "mode", "workload.name", "workload.kind", LOAD, "workload.sha256", "schedule_sha256", "seed",
    "system", "deployment", "prices.sha256", "profile.name", "profile.sha256", "machine",
    "versions", "git.commit",
)  # fmt: skip
"""Parts of a manifest in which compared cells must agree; causes before what follows from them."""

Leaves = Mapping[str, Any]
"""Values by their dotted paths."""


def content(manifest: Manifest) -> dict[str, Any]:
    """The manifest as it is stored, its load told by what made it (but for seeds). A simulated cell
    is of its profile: the machine that computed it has no part in it."""
    found = manifest.model_dump(mode="json", by_alias=True)
    if manifest.mode == "simulated":
        del found["machine"]
    if "provenance" in found["workload"]:
        found["workload"]["provenance"] = made(found["workload"]["provenance"])
    return found


def leaves(manifest: Manifest, roots: Sequence[str] = CHECKED) -> dict[str, Any]:
    """Every value under the parts by its dotted path."""
    whole = content(manifest)
    return {path: value for root in roots for path, value in _flat(root, part(whole, root))}


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


def unknown(path: str, known: Collection[str]) -> bool:
    """Whether a manifest of these leaves has no place for ``path``, because its schema lacks a key.
    An item that one of its lists lacks is content, not schema."""
    keys = path.split(".")
    for depth, key in enumerate(keys, start=1):
        place = ".".join(keys[:depth])
        if not any(under(leaf, (place,)) for leaf in known):
            return not key.isdigit()
    return False


def differences(ours: Leaves, theirs: Leaves) -> Iterator[str]:
    """Paths at which two manifests differ, where each has a value of its own or none. Loads of one
    digest are one load, however each was made."""
    same_load = ours.get("workload.sha256") == theirs.get("workload.sha256") is not None
    for path in sorted(dict.fromkeys((*ours, *theirs)), key=_rank):
        if ours.get(path) != theirs.get(path) and not (same_load and under(path, (LOAD,))):
            yield path


def _rank(path: str) -> int:
    """Its part's place among those checked."""
    return next(rank for rank, root in enumerate(CHECKED) if under(path, (root,)))
