"""The distribution of TTFT under each pattern and backbone, a curve a system."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import pandas as pd

from . import conditions, style

if TYPE_CHECKING:
    from harness.records import Cell, Run

NAME = "ttft-distribution"
_KEYS = ["system", "workload", "backbone", "at"]


def draw_figure(run: Run) -> Iterator[style.Drawing]:
    style.apply()
    cells = conditions.kept(run, style.MAIN)
    data = tidy(run, cells)
    columns = list(dict.fromkeys(data["workload"]))
    rows = sorted(set(data["backbone"]))
    figure, axes = plt.subplots(
        len(rows), len(columns), figsize=(style.PAGE_IN, 1.5 * len(rows) + 0.9),
        sharex=True, sharey=True, squeeze=False, layout="constrained",
    )  # fmt: skip
    for row, backbone in enumerate(rows):
        for column, workload in enumerate(columns):
            part = data[(data["workload"] == workload) & (data["backbone"] == backbone)]
            _panel(axes[row, column], part, f"{conditions.pattern(workload)}, {backbone}")
        axes[row, 0].set_ylabel("share of requests")
    for axis in axes[-1]:
        axis.set_xlabel("TTFT, s (log)")
    conditions.legend(figure, axes[0, 0])
    yield conditions.finish(NAME, figure, cells, data, "dashed: the SLO")


def tidy(run: Run, cells: Sequence[Cell]) -> pd.DataFrame:
    """Share of the requests that had their first token within each time, mean over the segments;
    ``slo_s`` by backbone."""
    slos = {
        backbone: slo_ns / 1e9
        for cell in cells
        for backbone, slo_ns in cell.requests.groupby("backbone")["slo_ttft_ns"].first().items()
    }
    rows = conditions.chosen_segments(run, style.MAIN)
    rows = rows[rows["metric"] == "ttft_within"]
    found = [
        dict(zip(_KEYS, key, strict=True)) | conditions.over_segments(part["value"], part["n"])
        for key, part in rows.groupby(_KEYS)
    ]
    data = pd.DataFrame(found).rename(columns={"at": "ttft_s", "value": "share"})
    order = {name: index for index, name in enumerate(conditions.PATTERNS)}
    return data.assign(slo_s=data["backbone"].map(slos)).sort_values(
        ["workload", "system", "backbone", "ttft_s"],
        key=lambda c: c.map(lambda name: order.get(name, 9)) if c.name == "workload" else c,
        kind="stable",
        ignore_index=True,
    )


def _panel(axis: Any, rows: pd.DataFrame, title: str) -> None:
    for system in style.in_order(rows["system"]):
        name, colour, mark = style.look(system)
        mine = rows[rows["system"] == system]
        axis.plot(
            mine["ttft_s"], mine["share"], color=colour, label=name, lw=1.2,
            marker=mark, markevery=10, ms=3,
        )  # fmt: skip
        axis.fill_between(mine["ttft_s"], mine["low"], mine["high"], color=colour, alpha=0.15, lw=0)
    if len(rows):
        axis.axvline(rows["slo_s"].iloc[0], color="black", ls="--", lw=0.6)
    axis.set_xscale("log")
    between = rows[rows["share"].between(0, 1, inclusive="neither")]["ttft_s"]
    axis.set(ylim=(0, 1.02), xlim=(between.min() / 1.5, between.max() * 1.5))
    axis.set_title(title, loc="left")
