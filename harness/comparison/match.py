"""Groups cells that are compared, or raises an error that names the key in which they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import HarnessError
from ..natural_order import natural
from ..records import Cell
from ..records.samples import samples
from ..records.segments import segment_names
from .factors import FACTORS, VERSIONED, Factor, allowing, level_names
from .leaves import content, differences, leaves, part

GROUP = ("system.label", "workload.name")
"""Keys of a table, except the factor; cells with different values are never pooled."""
REPEATS = Factor("repeat", ("repeat",), ())
# A load that is capped at a number of requests has another duration with each seed.
SEEDS = Factor(
    "seed", ("seed",), ("seed", "schedule_sha256", "workload.sha256", "workload.duration_s")
)
RESUMED = (*VERSIONED, *FACTORS["machine"].frees)
"""Keys that may differ between cells of one run, because it may be resumed later."""
ONE_RUN = ("system", "deployment", "prices", "profile", *RESUMED)
"""Keys that may differ between the systems of one run, for example a price sheet by kind of system.
Mode, load and schedule may not."""


@dataclass(frozen=True, slots=True)
class Matched:
    """Cells of one level, system and workload, by seed and then repeat. ``cells``: independent
    samples. ``again``: cells with the same result as one of these. ``segments``: names of all
    segments of the load, if their run keeps the requests of only some of them."""

    level: str
    system: str
    workload: str
    cells: tuple[Cell, ...]
    again: tuple[Cell, ...] = ()
    segments: tuple[str, ...] = ()

    @property
    def seeds(self) -> list[int]:
        """Seeds of all cells."""
        return sorted(cell.manifest.seed for cell in (*self.cells, *self.again))

    @property
    def valid(self) -> bool:
        return all(cell.manifest.valid for cell in (*self.cells, *self.again))

    @property
    def by_seed(self) -> dict[int, Cell]:
        """The first cell of each seed."""
        cells = (*self.cells, *self.again)
        return {cell.manifest.seed: cell for cell in reversed(cells)}


def matched(cells: Sequence[Cell], chosen: Factor, *, strict: bool = True) -> list[list[Matched]]:
    """Return the groups to compare, each with one entry per level, by system, if that is not
    compared, and workload; numbers within names by value. Raises ``HarnessError`` if
    pooled cells differ in more than seed and repeat, or levels differ outside the factor or have
    different seeds. Not ``strict``: cells of one run, whose levels may differ in ``ONE_RUN`` and in
    their seeds."""
    names = level_names(chosen, [cell.manifest for cell in cells])
    pooled: dict[tuple[tuple[Any, ...], str], list[Cell]] = {}
    for cell, level in zip(cells, names, strict=True):
        whole = content(cell.manifest)
        group = tuple(None if path in chosen.told_by else part(whole, path) for path in GROUP)
        pooled.setdefault((group, level), []).append(cell)
    groups: dict[tuple[Any, ...], list[Matched]] = {}
    for (group, level), found in pooled.items():
        groups.setdefault(group, []).append(_pooled(level, found, strict=strict))
    for entries in groups.values():
        if strict:
            _refuse_seeds(entries)
        _refuse(entries, chosen if strict else _freed(chosen, ONE_RUN))
    return [groups[group] for group in sorted(groups, key=_in_order)]


def _in_order(group: tuple[str | None, ...]) -> list[list[str | float]]:
    return [natural(name or "") for name in group]


def _pooled(level: str, cells: list[Cell], *, strict: bool) -> Matched:
    """Pool cells; only seed and repeat may differ (measurement rule 17)."""
    cells.sort(key=lambda cell: (cell.manifest.seed, cell.manifest.repeat))
    repeats, seeds = (each if strict else _freed(each, RESUMED) for each in (REPEATS, SEEDS))
    firsts: dict[int, Cell] = {}
    for cell in cells:
        same_seed = firsts.setdefault(cell.manifest.seed, cell)
        _agree(same_seed, cell, repeats)
        _agree(cells[0], cell, seeds)
    kept = samples(cells)
    again = tuple(cell for cell in cells if not any(cell is one for one in kept))
    names = segment_names(cells[0]) if len(kept) == 1 else ()
    return Matched(level, cells[0].system, cells[0].workload, tuple(kept), again, names)


def _freed(chosen: Factor, keys: Sequence[str]) -> Factor:
    return replace(chosen, frees=(*chosen.frees, *keys), schemas=True)


def _refuse_seeds(entries: Sequence[Matched]) -> None:
    first = entries[0]
    for entry in entries[1:]:
        if entry.seeds != first.seeds and _seeds(entry.cells) != _seeds(first.cells):
            raise HarnessError(
                f"seed: {first.level} was run with {_listed(first.seeds)} and {entry.level} with"
                f" {_listed(entry.seeds)}; run both with the same seeds and repeats"
            )


def _refuse(entries: Sequence[Matched], chosen: Factor) -> None:
    first = entries[0]
    for entry in entries[1:]:
        ours, theirs = first.by_seed, entry.by_seed
        for seed in ours.keys() & theirs.keys():
            _agree(ours[seed], theirs[seed], chosen)


def _agree(one: Cell, other: Cell, chosen: Factor) -> None:
    if one is other:
        return
    ours, theirs = leaves(one.manifest), leaves(other.manifest)
    found = list(differences(ours, theirs))
    wrong = [key for key in found if not chosen.may_differ(key, ours, theirs)]
    if wrong:
        key = wrong[0]
        named = allowing(found, ours, theirs)
        right = f"--factor {named} compares these" if named else "no --factor compares these"
        raise HarnessError(
            f"{key}: {ours.get(key)!r} in {_place(one)} and {theirs.get(key)!r} in"
            f" {_place(other)}; compare cells that differ in one --factor only: {right}"
        )


def _place(cell: Cell) -> str:
    return "/".join(cell.path.parts[-4:])


def _seeds(cells: Sequence[Cell]) -> list[int]:
    return [cell.manifest.seed for cell in cells]


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
