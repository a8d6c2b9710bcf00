"""Warnings that precede all numbers of the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..records import Cell, Run

RESIDUAL_SHARE = 0.05


def warnings(run: Run, cells: list[Cell]) -> list[str]:
    """List invalid cells first, then warnings about the client, missing sensors, simulations."""
    found = [
        *(f"invalid: {_place(c)}: {text}" for c in cells for text in c.manifest.problems),
        *(f"warning: {text}" for text in dict.fromkeys(_warnings(cells))),
        *dict.fromkeys(f"missing sensor: {name}" for cell in cells for name in _missing(cell)),
        *(text for cell in cells for text in _of_cell(cell)),
        *dict.fromkeys(_simulations(cells)),
    ]
    return [f"{run.id}: {text}" for text in found]


def _warnings(cells: list[Cell]) -> Iterator[str]:
    """Yield the warnings about the client on this machine, and those of the system itself."""
    for cell in cells:
        yield from (cell.manifest.calibration or {}).get("problems", ())
        yield from (f"{_place(cell)}: {warning}" for warning in cell.manifest.warnings)


def _missing(cell: Cell) -> Iterator[str]:
    yield from (cell.manifest.telemetry or {}).get("missing") or ()


def _of_cell(cell: Cell) -> Iterator[str]:
    failed = cell.summary["n"] - cell.summary["ok"]
    if failed:
        yield f"failed: {_place(cell)}: {failed} of {cell.summary['n']} requests"
    residual = cell.summary.get("residual_s") or {}
    share = residual.get("median_share")
    if share is not None and abs(share) > RESIDUAL_SHARE:
        yield f"residual: {_place(cell)}: {share:.0%} of the median request is in no stage"


def _simulations(cells: list[Cell]) -> Iterator[str]:
    for cell in cells:
        profile = cell.manifest.profile
        if profile is not None:
            checked = "checked" if profile.get("last_check") else "not checked"
            yield f"simulated, profile {profile['name']}, {checked} against a live run"


def _place(cell: Cell) -> str:
    return f"{cell.system}/{cell.workload}/{cell.path.name}"
