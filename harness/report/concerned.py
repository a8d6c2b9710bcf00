"""Each text about cells once, with the cells that it concerns."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..records import Cell


def place(cell: Cell) -> str:
    return f"{cell.system}/{cell.workload}/{cell.path.name}"


def named(having: Iterable[Cell], cells: Sequence[Cell]) -> str:
    """Name those of ``cells`` that are in ``having``: all of a run by their number, all of a system
    by its name."""
    paths = {cell.path for cell in having}
    if len(paths) == len(cells) > 1:
        return f"all {len(cells)} cells"
    systems: dict[str, list[Cell]] = {}
    for cell in cells:
        systems.setdefault(cell.system, []).append(cell)
    return ", ".join(part for each in systems.values() for part in _of_system(each, paths))


def _of_system(cells: Sequence[Cell], paths: Container[Path]) -> Iterator[str]:
    mine = [cell for cell in cells if cell.path in paths]
    if len(mine) == len(cells) > 1:
        yield cells[0].system
    else:
        yield from map(place, mine)


def once(found: Iterable[tuple[Cell, str]], cells: Sequence[Cell]) -> Iterator[str]:
    """Yield each text of ``found`` behind the names of its cells."""
    having: dict[str, list[Cell]] = {}
    for cell, text in found:
        having.setdefault(text, []).append(cell)
    yield from (f"{named(theirs, cells)}: {text}" for text, theirs in having.items())
