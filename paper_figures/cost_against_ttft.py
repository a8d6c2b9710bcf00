"""Cost against mean TTFT: one point per system and pattern; a line joins the undominated points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from . import conditions, scales, style
from .errors import NothingToDrawError
from .labels import panel_columns, panels, pattern

if TYPE_CHECKING:
    from harness.records import Run

NAME = "cost-against-ttft"
_ROOM = 1.1
"""Factor between the largest value and the end of its axis."""
_TTFT = "mean TTFT, s"
_METRICS = {"cost_usd": "cost_usd", "ttft_from_schedule_s": "ttft_s"}


def draw_figure(run: Run) -> Iterator[style.Drawing]:
    style.apply(conditions.all_systems(run))
    cells = conditions.kept(run, conditions.all_systems(run))
    data = tidy(run)
    workloads = list(dict.fromkeys(data["workload"]))
    figure, axes = panels(len(workloads), 1.7)
    factor, unit = conditions.dollars(data["cost_usd"])
    for axis, workload in zip(axes, workloads, strict=True):
        _panel(axis, data[data["workload"] == workload], factor)
        if scales.is_wide(data["ttft_s"]):
            scales.logarithmic(axis, "x", data["ttft_s"], _TTFT)
        axis.set_title(pattern(workload), loc="left")
    for axis in axes[:: panel_columns(len(workloads))]:
        axis.set_ylabel(f"cost, {unit}")
    absent = style.in_order({cell.system for cell in cells} - set(data["system"]))
    told = [f"{', '.join(style.look(each).name for each in absent)}: {style.UNKNOWN}"]
    joined = data.groupby("workload")["undominated"].sum().max() > 1
    more = [*(["line: not beaten in both"] if joined else []), *(told if absent else [])]
    yield conditions.finish(NAME, figure, cells, data, "; ".join(more))


def tidy(run: Run) -> pd.DataFrame:
    """Mean TTFT, cost, and ``undominated``: no other system is at least as good in both and better
    in one. Only systems with known TTFT and cost. Raises ``NothingToDrawError`` if there are none.
    """
    keys = ["workload", "system"]
    rows = conditions.totals(run, list(_METRICS), conditions.all_systems(run))
    values = rows.pivot_table(index=keys, columns="metric", values="value", sort=False)
    wide = values.reindex(columns=list(_METRICS)).dropna().rename(columns=_METRICS)
    if wide.empty:
        raise NothingToDrawError(f"run {run.id}: {' and '.join(_METRICS)} {style.UNKNOWN}")
    wide.insert(0, "segments", rows.groupby(keys)["segments"].min())
    wide = wide.reset_index()
    wide["undominated"] = [_undominated(wide, row) for _, row in wide.iterrows()]
    return wide.rename_axis(columns=None)


def _undominated(rows: pd.DataFrame, row: pd.Series[Any]) -> bool:
    others = rows[rows["workload"] == row["workload"]]
    no_worse = (others["ttft_s"] <= row["ttft_s"]) & (others["cost_usd"] <= row["cost_usd"])
    better = (others["ttft_s"] < row["ttft_s"]) | (others["cost_usd"] < row["cost_usd"])
    return not bool((no_worse & better).any())


def _panel(axis: Any, rows: pd.DataFrame, factor: float) -> None:
    """Draw later systems behind earlier ones and larger, so that equal points show."""
    for index, system in enumerate(style.in_order(rows["system"])):
        name, colour, mark, *_ = style.look(system)
        mine = rows[rows["system"] == system]
        axis.plot(
            mine["ttft_s"], factor * mine["cost_usd"], mark, color=colour, label=name,
            ms=5 + 0.8 * index, zorder=3 - 0.1 * index,
        )  # fmt: skip
    front = rows[rows["undominated"]].sort_values("ttft_s")
    axis.plot(front["ttft_s"], factor * front["cost_usd"], color="black", lw=0.6, zorder=0)
    axis.set(xlabel=_TTFT, ylim=(0, _ROOM * factor * rows["cost_usd"].max()))
    axis.set_xlim(0, _ROOM * rows["ttft_s"].max())
