"""What each system of some runs does at each number of tenants: one row a point of the figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.comparison import compare
from harness.metrics import metric

from .errors import NothingToDrawError

if TYPE_CHECKING:
    from harness.comparison import Row
    from harness.records import Cell, Run

LOAD = ["backbones", "workload"]
SERIES = ["system", "mode"]
SEPARATE = ("naive", "vllm-dedicated", "vllm-shared", "vllm-sleep")
"""Systems without isolation levels that separate functions or start when called, so that they are
not what isolation is compared with."""
CHECKED = ["at", "sent"]
"""Columns that tell which runs may stand side by side: the run's place and the schedules."""


def points(runs: Sequence[Run], wanted: Sequence[str]) -> pd.DataFrame:
    """Return one row per load, mode, system, number of tenants and metric of ``wanted``, for loads
    at which a system has two numbers of tenants: of such systems, and of those without isolation
    levels but ``SEPARATE``. ``tenants``: the number of groups in the manifest (a tenant has one
    over each backbone); missing for systems without isolation levels. Raises ``NothingToDrawError``
    if there is no such load, or if two runs cannot stand side by side."""
    rows = pd.DataFrame([row for at, run in enumerate(runs) for row in _of_run(at, run, wanted)])
    told = ", ".join(run.id for run in runs)
    counts = rows.groupby([*LOAD, *SERIES])["tenants"].transform("nunique")
    varied = counts > 1
    beside = rows["tenants"].isna() & ~rows["system"].isin(SEPARATE)
    varied_at_load = varied.groupby([rows[key] for key in LOAD]).transform("any")
    rows = rows[varied_at_load & (varied | beside)]
    if rows.empty:
        raise NothingToDrawError(f"run {told}: no system with two numbers of tenants")
    for (backbones, workload), part in rows.groupby(LOAD):
        _check(part, f"run {told}: {workload} with {backbones}")
    return rows


def _of_run(at: int, run: Run, wanted: Sequence[str]) -> Iterator[dict[str, Any]]:
    metrics = [metric(name) for name in dict.fromkeys(each.partition(".")[0] for each in wanted)]
    for group in compare(run.cells(), strict=False, metrics=metrics).groups:
        for row in group:
            if row.name in wanted:
                yield {"at": at, "run": run.id, **_point(row)}


def _point(row: Row) -> dict[str, Any]:
    about = row.entry.cells[0].manifest
    low, high = row.estimate.ci95 or (None, None)
    return {
        "backbones": backbones(row.entry.cells[0]),
        "workload": row.entry.workload,
        "mode": about.mode,
        "sent": ",".join(sorted({cell.manifest.schedule_sha256 for cell in row.entry.cells})),
        "system": str(about.system["name"]),
        "label": row.entry.system,
        "tenants": None if about.groups is None else len(about.groups),
        "metric": row.name,
        "value": row.estimate.value,
        "low": low,
        "high": high,
        "n": row.estimate.n,
    }


def backbones(cell: Cell) -> str:
    """Return the names of the cell's backbones."""
    return "+".join(sorted(cell.manifest.deployment["backbones"]))


def _check(part: pd.DataFrame, load: str) -> None:
    """Raise ``NothingToDrawError`` unless every mode has one run and all were sent the same."""
    for mode, runs in part.groupby("mode")["at"].nunique().items():
        if runs > 1:
            raise NothingToDrawError(f"{load}: several {mode} runs; give one of a mode")
    if part["sent"].nunique() > 1:
        raise NothingToDrawError(f"{load}: not all cells were sent the same requests")


def largest_differences(part: pd.DataFrame) -> dict[str, float]:
    """Return for each metric the largest difference of simulated from live values, relative to
    live, over the points that are known in both modes."""
    keys = ["metric", "system", "tenants"]
    wide = part.pivot_table(index=keys, columns="mode", values="value", dropna=False)
    if not {"live", "simulated"} <= set(wide.columns):
        return {}
    both = wide.dropna(subset=["live", "simulated"])
    off = (both["simulated"] / both["live"] - 1).abs()
    return {str(name): float(value) for name, value in off.groupby(level="metric").max().items()}
