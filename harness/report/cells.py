"""The data of a cell that the HTML page embeds, thinned if there is too much of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..records.segments import evenly

if TYPE_CHECKING:
    import pandas as pd

    from ..records import Cell, Run

MOST_REQUESTS = 2_000
MOST_STEPS = 400
MOST_DECISIONS = 2_000


def cell_data(run: Run, cells: Sequence[Cell]) -> Iterator[dict[str, Any]]:
    """Yield the cells of a run, as plain lists: times in seconds from the run's start, memory in
    GB. A system has the name and the colour that it has in figures."""
    from paper_figures.looks import looks

    found = looks({cell.system for cell in cells})
    for cell in cells:
        look = found[cell.system]
        yield {**_cell(run, cell), "title": look.name, "colour": look.colour}


def _cell(run: Run, cell: Cell) -> dict[str, Any]:
    requests = cell.requests.sort_values("scheduled_ns")
    shown = requests.iloc[evenly(len(requests), MOST_REQUESTS)]
    return {
        "name": f"{run.id} · {cell.system} · {cell.workload} · {cell.path.name}",
        "run": run.id,
        "system": cell.system,
        "workload": f"{run.id} · {cell.workload} · {cell.path.name}",
        "mode": cell.manifest.mode,
        "total": len(requests),
        "requests": _requests(shown),
        "spans": _spans(cell, shown),
        "memory": _memory(cell),
        "decisions": _decisions(cell),
    }


def _requests(rows: pd.DataFrame) -> dict[str, list[Any]]:
    return {
        "id": rows["request_id"].tolist(),
        "function": rows["function_id"].tolist(),
        "at": _rounded(rows["scheduled_ns"] / 1e9),
        "ttft": _rounded(rows["ttft_from_schedule_s"]),
        "e2e": _rounded(rows["e2e_s"]),
        "start_type": _start_types(rows),
    }


def _start_types(rows: pd.DataFrame) -> list[str]:
    """Of an answered request whose start type the system did not tell, that it is not known; of
    others their status."""
    silent = rows["status"].where(rows["status"] != "ok", "not known")
    found: list[str] = rows["start_type"].fillna(silent).tolist()
    return found


def _spans(cell: Cell, shown: pd.DataFrame) -> dict[str, list[list[Any]]]:
    """Request → [stage, start, end] in seconds from the run's start."""
    spans = cell.table("spans").to_pandas()
    kept = spans[spans["request_id"].isin(set(shown["request_id"]))]
    found: dict[str, list[list[Any]]] = {}
    for row in kept.sort_values(["request_id", "start_ns"]).itertuples():
        ends = [round(row.start_ns / 1e9, 4), round(row.end_ns / 1e9, 4)]
        found.setdefault(str(row.request_id), []).append([row.stage, *ends])
    return found


def _memory(cell: Cell) -> dict[str, Any]:
    """Device → times, and GB by owner: every change of the ledger, or evenly thinned ones."""
    rows = cell.table("memory").to_pandas()
    held = rows[rows["source"] == "ledger"]
    found: dict[str, Any] = {}
    for device, part in held.groupby("device"):
        wide = _steps(part)
        wide = wide.iloc[evenly(len(wide), MOST_STEPS)]
        owners = {str(o): _rounded(wide[o] / 1e9) for o in wide.columns if wide[o].any()}
        found[str(device)] = {"t": _rounded(wide.index.to_series() / 1e9), "owners": owners}
    return found


def _steps(rows: pd.DataFrame) -> pd.DataFrame:
    """Bytes of each owner at every change. A function's value holds until its next row."""
    by_function = rows.assign(function_id=rows["function_id"].fillna("")).pivot_table(
        index="t_ns", columns=["owner", "function_id"], values="bytes", aggfunc="last"
    )
    owners: pd.DataFrame = by_function.ffill().fillna(0).T.groupby(level="owner").sum().T
    return owners


def _decisions(cell: Cell) -> list[list[Any]]:
    """Return the first decisions as [time in s, kind, numbers]; empty if they were not recorded."""
    if not (cell.path / "decisions.parquet").exists():
        return []
    rows = cell.stored("decisions").slice(0, MOST_DECISIONS).to_pylist()
    return [[round(row["t_ns"] / 1e9, 3), row["kind"], json.loads(row["numbers"])] for row in rows]


def _rounded(values: pd.Series[Any]) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 4) for value in values]
