"""Cost at equal SLO attainment: the cost of each system at the highest load at which it still
reaches the attainment, instead of at one load that is light for one system and too high for
another.

A cell is a point: its offered load, its SLO attainment, its cost of 1,000 requests. Attainment
falls with load except for noise, so the points are first made monotonic (isotonic regression,
weighted by requests). Between two points, values are interpolated linearly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..errors import HarnessError
from ..records import Cell
from ..records.samples import samples
from .leaves import differences, leaves, under

FREE = ("workload", "schedule_sha256", "seed", "deployment.functions")
"""Keys that may differ between a system's cells: a load is a workload, with its functions."""
OF_ONE_RUN = ("git", "versions", "machine")
"""Keys that may differ between cells of one run, because it may be resumed later."""
OF_ITS_SYSTEMS = ("system", "prices")
"""Keys that may differ between its systems; those of another kind have their own price sheet."""
POINTS = 2


@dataclass(frozen=True, slots=True)
class Sustained:
    """``rps``: offered requests/s; ``usd_per_1k``: cost of 1,000 requests in $; both at the
    requested attainment. None if the cells do not show it; ``why`` has the reason."""

    system: str
    rps: float | None
    usd_per_1k: float | None
    why: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def at_attainment(cells: Sequence[Cell], level: float) -> list[Sustained]:
    """Find each system's highest load at ``level``, the share of requests within their objective,
    above 0 and at most 1. Raises ``HarnessError`` if cells differ in more than system and load, or
    cells of one run in more than ``OF_ONE_RUN`` and ``OF_ITS_SYSTEMS`` beside."""
    if not 0 < level <= 1:
        raise HarnessError(f"--at-slo {level * 100:g}: a percentage above 0 and at most 100")
    _refuse(cells)
    systems = dict.fromkeys(cell.system for cell in cells)
    return [
        _sustained(name, samples(c for c in cells if c.system == name), level) for name in systems
    ]


def _refuse(cells: Sequence[Cell]) -> None:
    if not cells:
        raise HarnessError("nothing to compare: the runs hold no finished cell")
    for cell in cells[1:]:
        ours, theirs = leaves(cells[0].manifest), leaves(cell.manifest)
        freed = _freed(cells[0], cell)
        key = next((key for key in differences(ours, theirs) if not under(key, freed)), None)
        if key is not None:
            raise HarnessError(
                f"{key}: {ours.get(key)!r} in {cells[0].path} and {theirs.get(key)!r} in"
                f" {cell.path}; --at-slo compares cells that differ in system and load only"
            )


def _freed(first: Cell, cell: Cell) -> tuple[str, ...]:
    """Return the keys in which two cells may differ."""
    other = cell.system != first.system
    if cell.manifest.run_id == first.manifest.run_id:
        return (*FREE, *OF_ONE_RUN, *(OF_ITS_SYSTEMS if other else ()))
    return (*FREE, "system") if other else FREE


def offered_rps(cell: Cell) -> float:
    """Requests per second of the schedule, from the first to the last."""
    scheduled = cell.requests["scheduled_ns"]
    return float((len(scheduled) - 1) / max((scheduled.max() - scheduled.min()) / 1e9, 1e-9))


def _sustained(system: str, cells: Sequence[Cell], level: float) -> Sustained:
    from scipy.optimize import isotonic_regression

    points = sorted(
        (offered_rps(c), c.summary["slo_attainment"], _cost(c), c.summary["n"]) for c in cells
    )
    load, raw, cost, weight = np.array(points, float).T
    if len(points) < POINTS:
        return Sustained(system, None, None, "one load only; run it at several")
    kept = isotonic_regression(raw, weights=weight, increasing=False).x
    if kept[0] < level:
        return Sustained(system, None, None, f"{kept[0]:.0%} at the lowest load; run lower ones")
    if kept[-1] > level:
        return Sustained(system, None, None, f"{kept[-1]:.0%} at the highest load; run higher ones")
    last = int(np.flatnonzero(kept >= level)[-1])
    if last == len(points) - 1:
        return Sustained(system, float(load[last]), float(cost[last]))
    part = (kept[last] - level) / (kept[last] - kept[last + 1])
    rps, usd = (float(v[last] + part * (v[last + 1] - v[last])) for v in (load, cost))
    return Sustained(system, rps, usd)


def _cost(cell: Cell) -> float:
    value = cell.summary["usd_per_1k_requests"]
    return float("nan") if value is None else float(value)
