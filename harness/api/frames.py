"""The tables of cells as one DataFrame, with derived columns. Unknown values are NaN or None."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..cost import request_costs

if TYPE_CHECKING:
    from ..records import Cell

NS = 1e9


def joined(cells: Sequence[Cell], table: Callable[[Cell], pd.DataFrame]) -> pd.DataFrame:
    """Return ``table`` of every cell below each other, each row with the cell's place. Without
    cells, the frame is empty and has no columns."""
    found = [placed(cell, table(cell)) for cell in cells]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def placed(cell: Cell, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with the cell's place in front."""
    place = place_of(cell)
    return pd.concat([pd.DataFrame(place, index=frame.index), frame], axis=1)


def place_of(cell: Cell) -> dict[str, Any]:
    """Return run, system, workload, seed and repeat of a cell, and its point of the sweep by key.
    The workload is its label, without the point."""
    about = cell.manifest
    return {
        "run": about.run_id,
        "system": cell.system,
        "workload": cell.workload_label,
        "seed": about.seed,
        "repeat": about.repeat,
        **(about.sweep or {}),
    }


def requests(cell: Cell) -> pd.DataFrame:
    """Return the requests with latencies and lateness in seconds, whether the objective was met,
    and ``cost_usd``, the request's share of the bill; NaN without a bill."""
    return cell.requests.assign(cost_usd=_costs(cell))


def _costs(cell: Cell) -> pd.Series[Any] | float:
    billing = cell.table("billing")
    if not billing.num_rows:
        return float("nan")
    tables = cell.table("requests"), cell.table("spans")
    costs, _ = request_costs(billing, *tables, cell.manifest.groups or {})
    return cell.requests["request_id"].map(costs)


def spans(cell: Cell) -> pd.DataFrame:
    """Return the stages of each request, with ``seconds`` and the request's function."""
    frame: pd.DataFrame = cell.table("spans").to_pandas()
    functions = cell.requests.set_index("request_id")["function_id"]
    seconds = (frame["end_ns"] - frame["start_ns"]) / NS
    return frame.assign(seconds=seconds, function_id=frame["request_id"].map(functions))


def memory(cell: Cell) -> pd.DataFrame:
    """Return what was held from each time on, with ``t_s`` and ``gb`` (10⁹ bytes)."""
    frame: pd.DataFrame = cell.table("memory").to_pandas()
    return frame.assign(t_s=frame["t_ns"] / NS, gb=frame["bytes"] / 1e9)


def bill(cell: Cell) -> pd.DataFrame:
    """Return the rows of the bill, with ``seconds``."""
    frame: pd.DataFrame = cell.table("billing").to_pandas()
    return frame.assign(seconds=(frame["end_ns"] - frame["start_ns"]) / NS)
