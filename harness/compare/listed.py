"""Lists what a factor allowed to differ between its levels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .factors import Factor
from .leaves import leaves, under
from .match import Matched


@dataclass(frozen=True, slots=True)
class Difference:
    """``key``: of the manifest. ``values``: by level, None if its manifest lacks the key."""

    system: str
    key: str
    values: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return {"system": self.system, "key": self.key, "values": dict(self.values)}


def listed(groups: Sequence[Sequence[Matched]], chosen: Factor) -> tuple[Difference, ...]:
    """List each difference of a system once; empty if the level names already show them."""
    if not chosen.listed:
        return ()
    found = [each for entries in groups for each in _between(entries, chosen)]
    return tuple({(each.system, each.key): each for each in found}.values())


def _between(entries: Sequence[Matched], chosen: Factor) -> Iterator[Difference]:
    told = {entry.level: leaves(entry.cells[0].manifest) for entry in entries}
    for key in dict.fromkeys(key for each in told.values() for key in each):
        values = {level: each.get(key) for level, each in told.items()}
        alike = len(set(map(repr, values.values()))) == 1
        if not alike and not under(key, chosen.told_by):
            yield Difference(entries[0].system, key, values)
