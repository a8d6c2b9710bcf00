"""The distribution of TTFT under each pattern and backbone, a curve a system."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from . import conditions, style

if TYPE_CHECKING:
    from harness.records import Cell, Run

NAME = "ttft-distribution"
SOURCE = "evaluation"
_SHARES = np.linspace(0.0, 1.0, 201)


def draw_figure(run: Run) -> Iterator[style.Drawing]:
    style.apply()
    cells = conditions.kept(run, style.MAIN)
    data = tidy(cells)
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


def tidy(cells: Sequence[Cell]) -> pd.DataFrame:
    """TTFT at every half per cent of the requests."""
    parts = []
    order = {name: index for index, name in enumerate(conditions.PATTERNS)}
    for cell in sorted(cells, key=lambda c: (order.get(c.workload, 9), c.workload, c.system)):
        for backbone, rows in cell.requests.groupby("backbone"):
            values = rows["ttft_from_schedule_s"].dropna()
            found = {"share": _SHARES, "ttft_s": np.quantile(values, _SHARES)}
            part = pd.DataFrame(found).assign(slo_s=rows["slo_ttft_ns"].iloc[0] / 1e9)
            about = {"system": cell.system, "workload": cell.workload, "backbone": backbone}
            parts.append(part.assign(**about))
    return pd.concat(parts, ignore_index=True)


def _panel(axis: Any, rows: pd.DataFrame, title: str) -> None:
    for system in style.in_order(rows["system"]):
        name, colour, mark = style.look(system)
        mine = rows[rows["system"] == system]
        axis.plot(
            mine["ttft_s"], mine["share"], color=colour, label=name, lw=1.2,
            marker=mark, markevery=40, ms=3,
        )  # fmt: skip
    if len(rows):
        axis.axvline(rows["slo_s"].iloc[0], color="black", ls="--", lw=0.6)
    axis.set_xscale("log")
    axis.set_title(title, loc="left")
