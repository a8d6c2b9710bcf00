"""Warnings that precede all numbers of the page, and those of them that end a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .concerned import named, once, place
from .ranges import ranged, skeleton
from .unfinished import unfinished

if TYPE_CHECKING:
    from ..records import Cell, Run

RESIDUAL_SHARE = 0.05


def warnings(run: Run, cells: list[Cell]) -> list[str]:
    """List invalid cells first, then warnings about the client, missing sensors, simulations."""
    lacking = ((cell, sensor) for cell in cells for sensor in _missing(cell))
    found = [
        *(f"invalid: {place(c)}: {text}" for c in cells for text in c.manifest.problems),
        *(f"unfinished: {text}" for text in unfinished(run)),
        *(f"warning: {text}" for text in warnings_once(cells)),
        *(f"missing sensor: {text}" for text in once(lacking, cells)),
        *(text for cell in cells for text in _of_cell(cell)),
        *dict.fromkeys(_simulations(cells)),
    ]
    return [f"{run.id}: {text}" for text in found]


def caveats(run: Run) -> Iterator[str]:
    """Yield what a table of this run's numbers does not show: invalid and unfinished cells, and the
    warnings of the records."""
    cells = run.cells()
    yield from (f"invalid: {place(c)}: {text}" for c in cells for text in c.manifest.problems)
    yield from (f"unfinished: {text}" for text in unfinished(run))
    yield from (f"warning: {text}" for text in warnings_once(cells))


def warnings_once(cells: list[Cell]) -> Iterator[str]:
    """Yield each warning about the client on this machine, and of the system itself, once, with the
    cells that it concerns."""
    yield from _of_the_client(cells)
    yield from once(((cell, text) for cell in cells for text in cell.manifest.warnings), cells)


def _of_the_client(cells: list[Cell]) -> Iterator[str]:
    """Cells that are runs of their own have each calibrated the client: one line has the ranges of
    their numbers."""
    found: dict[str, list[tuple[Cell, str]]] = {}
    for cell in cells:
        for text in (cell.manifest.calibration or {}).get("problems", ()):
            found.setdefault(skeleton(text), []).append((cell, text))
    for each in found.values():
        having, texts = zip(*each, strict=True)
        yield f"{named(having, cells)}: {ranged(texts)}"


def _missing(cell: Cell) -> Iterator[str]:
    yield from (cell.manifest.telemetry or {}).get("missing") or ()


def _of_cell(cell: Cell) -> Iterator[str]:
    failed = cell.summary["n"] - cell.summary["ok"]
    if failed:
        yield f"failed: {place(cell)}: {failed} of {cell.summary['n']} requests"
    residual = cell.summary.get("residual_s") or {}
    share = residual.get("median_share")
    if share is not None and abs(share) > RESIDUAL_SHARE:
        yield f"residual: {place(cell)}: {share:.0%} of the median request is in no stage"


def _simulations(cells: list[Cell]) -> Iterator[str]:
    for cell in cells:
        profile = cell.manifest.profile
        if profile is not None:
            checked = "checked" if profile.get("last_check") else "not checked"
            yield f"simulated, profile {profile['name']}, {checked} against a live run"
