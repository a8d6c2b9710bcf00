"""Lists what differs between the levels of a comparison beside the factor itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .factors import Factor
from .leaves import CHECKED, LOAD, Leaves, leaves, under
from .match import SEEDS, Matched

NAMES = ("prices.name",)
"""Keys that are not checked, but say more than the digest that is."""


@dataclass(frozen=True, slots=True)
class Difference:
    """``system``: None if systems are what is compared. ``key``: of the manifest. ``values``: by
    level, None if its manifest lacks the key, a list if its cells differ."""

    system: str | None
    key: str
    values: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return {"system": self.system, "key": self.key, "values": dict(self.values)}


def listed(
    groups: Sequence[Sequence[Matched]], chosen: Factor, *, strict: bool
) -> tuple[Difference, ...]:
    """List each difference once. If ``strict``, only a factor that lists its differences has any;
    otherwise the levels may have other seeds and repeats, and differ in what the factor does not
    free."""
    if strict and not chosen.listed:
        return ()
    found = [each for entries in groups for each in (*_seeds(entries), *_between(entries, chosen))]
    return tuple({repr(each): each for each in found}.values())


def _seeds(entries: Sequence[Matched]) -> Iterator[Difference]:
    """Seeds and repeats: a seed is listed once a repeat."""
    seeds = {entry.level: entry.seeds for entry in entries}
    if len(set(map(tuple, seeds.values()))) > 1:
        yield Difference(_system(entries), "seed", seeds)


def _between(entries: Sequence[Matched], chosen: Factor) -> Iterator[Difference]:
    told = {entry.level: _told(entry) for entry in entries}
    found = {}
    for key in dict.fromkeys(key for each in told.values() for leaf in each for key in leaf):
        values = {level: _values(key, each) for level, each in told.items()}
        differ = len({value for each in values.values() for value in each}) > 1
        if differ and not _expected(key, chosen):
            found[key] = {level: _plain(each) for level, each in values.items()}
    for key, plain in found.items():
        if not (key.endswith(".sha256") and f"{key.removesuffix('sha256')}name" in found):
            yield Difference(_system(entries), key, plain)


def _told(entry: Matched) -> list[Leaves]:
    """The manifest of every cell."""
    cells = (*entry.cells, *entry.again)
    return [leaves(cell.manifest, (*CHECKED, *NAMES)) for cell in cells]


def _expected(key: str, chosen: Factor) -> bool:
    """Whether the level's name already shows a difference in ``key``, or it follows from level or
    seed. Loads of one group are equal, however they were made."""
    known = (*chosen.told_by, LOAD, *SEEDS.frees, *(() if chosen.listed else chosen.frees))
    return under(key, known)


def _values(key: str, told: Sequence[Leaves]) -> dict[str, Any]:
    """The distinct values of the cells, by their representation."""
    return {repr(leaf.get(key)): leaf.get(key) for leaf in told}


def _plain(values: Mapping[str, Any]) -> Any:
    first, *others = values.values()
    return [first, *others] if others else first


def _system(entries: Sequence[Matched]) -> str | None:
    systems = {entry.system for entry in entries}
    return systems.pop() if len(systems) == 1 else None
