"""Cost against mean TTFT: one point per system and pattern; a line joins the undominated points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import pandas as pd

from . import conditions, style
from .errors import NothingToDrawError

if TYPE_CHECKING:
    from harness.records import Run

NAME = "cost-against-ttft"
_METRICS = {"cost_usd": "cost_usd", "ttft_from_schedule_s": "ttft_s"}


def draw_figure(run: Run) -> Iterator[style.Drawing]:
    style.apply()
    cells = conditions.kept(run, conditions.all_systems(run))
    data = tidy(run)
    workloads = list(dict.fromkeys(data["workload"]))
    figure, axes = plt.subplots(
        1, len(workloads), figsize=(style.PAGE_IN, 2.6), squeeze=False, layout="constrained"
    )
    for axis, workload in zip(axes[0], workloads, strict=True):
        _panel(axis, data[data["workload"] == workload], conditions.pattern(workload))
    axes[0, 0].set_ylabel("cost, $")
    style.legend(figure, columns=4)
    absent = sorted({cell.system for cell in cells} - set(data["system"]))
    told = [f"{', '.join(absent)}: {style.UNKNOWN}"] if absent else []
    more = "; ".join(["line: not beaten in both", *told])
    yield conditions.finish(NAME, figure, cells, data, more)


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


def _panel(axis: Any, rows: pd.DataFrame, title: str) -> None:
    for system in reversed(style.in_order(rows["system"])):
        name, colour, mark = style.look(system)
        mine = rows[rows["system"] == system]
        axis.plot(mine["ttft_s"], mine["cost_usd"], mark, color=colour, label=name, ms=5)
    front = rows[rows["undominated"]].sort_values("ttft_s")
    axis.plot(front["ttft_s"], front["cost_usd"], color="black", lw=0.6, zorder=0)
    room = 1.1
    axis.set(xlabel="mean TTFT, s", ylim=(0, room * rows["cost_usd"].max()))
    axis.set_xlim(0, room * rows["ttft_s"].max())
    axis.set_title(title, loc="left")
