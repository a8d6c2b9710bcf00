"""Cells that belong together, or a refusal that names the key in which they differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import HarnessError
from ..records import Cell
from .factors import Factor, difference, leaves, level_names, part

GROUP = ("system.name", "workload.name")
"""What a table is of, unless it is the factor: it is never pooled."""
VARYING = ("seed", "schedule_sha256", "workload.sha256")
"""What differs from seed to seed."""


@dataclass(frozen=True, slots=True)
class Matched:
    """Cells of one level, of one system and workload, by seed and then repeat."""

    level: str
    system: str
    workload: str
    cells: tuple[Cell, ...]

    @property
    def seeds(self) -> list[int]:
        return [cell.manifest.seed for cell in self.cells]

    @property
    def valid(self) -> bool:
        return all(cell.manifest.valid for cell in self.cells)


def matched(cells: Sequence[Cell], chosen: Factor, *, strict: bool = True) -> list[list[Matched]]:
    """Groups to be compared within, each with an entry a level. ``strict``: ``HarnessError`` where
    cells differ outside the factor, or are not of the same seeds."""
    names = level_names(chosen, [cell.manifest for cell in cells])
    pooled: dict[tuple[tuple[Any, ...], str], list[Cell]] = {}
    for cell, level in zip(cells, names, strict=True):
        content = cell.manifest.model_dump(mode="json", by_alias=True)
        group = tuple(None if path == chosen.told_by else part(content, path) for path in GROUP)
        pooled.setdefault((group, level), []).append(cell)
    groups: dict[tuple[Any, ...], list[Matched]] = {}
    for (group, level), found in pooled.items():
        found.sort(key=lambda cell: (cell.manifest.seed, cell.manifest.repeat))
        entry = Matched(level, found[0].system, found[0].workload, tuple(found))
        groups.setdefault(group, []).append(entry)
    if strict:
        for entries in groups.values():
            _refuse(entries, chosen)
    return list(groups.values())


def _refuse(entries: Sequence[Matched], chosen: Factor) -> None:
    first = entries[0]
    for entry in entries:
        _same_where(entry.cells[:1], entry.cells[1:], VARYING)
        if entry.seeds != first.seeds:
            raise HarnessError(
                f"seed: {first.level} was run with {_listed(first.seeds)} and {entry.level} with"
                f" {_listed(entry.seeds)}; run both with the same seeds and repeats"
            )
        for ours, theirs in zip(first.cells, entry.cells, strict=True):
            _same_where([ours], [theirs], chosen.frees if entry is not first else ())


def _same_where(ones: Iterable[Cell], others: Iterable[Cell], freed: Sequence[str]) -> None:
    for one in ones:
        for other in others:
            ours, theirs = leaves(one.manifest), leaves(other.manifest)
            key = difference(ours, theirs, freed)
            if key is not None:
                raise HarnessError(
                    f"{key}: {ours.get(key)!r} in {_place(one)} and {theirs.get(key)!r} in"
                    f" {_place(other)}; compare cells that differ in one --factor only"
                )


def _place(cell: Cell) -> str:
    return "/".join(cell.path.parts[-4:])


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
