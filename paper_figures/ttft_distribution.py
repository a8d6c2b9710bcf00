"""The distribution of TTFT under each pattern and backbone, one curve per system."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from harness.natural_order import natural
from harness.records.segments import evenly
from harness.stats import student_intervals

from . import conditions, style
from .errors import NothingToDrawError
from .labels import loads_in_order, panel_columns, panels, title

if TYPE_CHECKING:
    from harness.records import Cell, Run

NAME = "ttft-distribution"
_KEYS = ["system", "workload", "backbone"]
_MOST_POINTS = 5_000
_MARKS, _SHIFT = 4, 0.15
"""Of a curve, and how far those of the next curve are from them."""


def draw_figure(run: Run) -> Iterator[style.Drawing]:
    style.apply(conditions.all_systems(run))
    systems = conditions.systems_of(run)
    cells = conditions.kept(run, systems)
    data = tidy(run, cells, systems)
    columns = list(dict.fromkeys(data["workload"]))
    rows = sorted(set(data["backbone"]), key=natural)
    figure, axes = panels(len(columns), 1.5, len(rows), sharex=True, sharey=True)
    ends = _ends(data)
    for axis, (backbone, workload) in zip(axes, product(rows, columns), strict=True):
        part = data[(data["workload"] == workload) & (data["backbone"] == backbone)]
        _panel(axis, part, title(workload, backbone), ends)
    for axis in axes[-panel_columns(len(columns)) :]:
        axis.set_xlabel("TTFT, s (log)")
    figure.supylabel("share of requests", fontsize=8)
    yield conditions.finish(NAME, figure, cells, data, "; ".join(_told(data)))


def _told(data: pd.DataFrame) -> Iterator[str]:
    yield "dashed: the SLO"
    last = data.groupby(_KEYS)["share"].max()
    if (short := last[last < 1]).size:
        names = (style.look(name).name for name in style.in_order(short.index.unique("system")))
        yield f"below 1 at the end: requests without a first token ({', '.join(names)})"


def tidy(run: Run, cells: Sequence[Cell], systems: Sequence[str]) -> pd.DataFrame:
    """Share of requests with a first token within each time, as the mean over the segments, one row
    per step; ``slo_s`` by backbone."""
    slos = {
        backbone: slo_ns / 1e9
        for cell in cells
        for backbone, slo_ns in cell.requests.groupby("backbone")["slo_ttft_ns"].first().items()
    }
    rows = conditions.chosen_segments(run, systems)
    rows = rows[rows["metric"] == "ttft_within"]
    found = [
        pd.DataFrame(dict(zip(_KEYS, key, strict=True)) | _curve(part))
        for key, part in rows.groupby(_KEYS)
    ]
    data = pd.concat(found, ignore_index=True) if found else pd.DataFrame()
    if data.empty:
        raise NothingToDrawError(f"run {run.id}: no request has a first token")
    order = {name: index for index, name in enumerate(loads_in_order(data["workload"]))}
    return data.assign(slo_s=data["backbone"].map(slos)).sort_values(
        ["workload", "system", "backbone", "ttft_s"],
        key=lambda c: c.map(order) if c.name == "workload" else c,
        kind="stable",
        ignore_index=True,
    )


def _curve(rows: pd.DataFrame) -> dict[str, Any]:
    """Mean of the segments' distributions at every step of any of them, as columns."""
    segments = [part.sort_values("at") for _, part in rows.groupby("segment")]
    times = np.unique(rows["at"][rows["at"] > 0])
    shares = np.array([_within(part, times) for part in segments])
    rises = np.flatnonzero(np.diff(shares, prepend=0.0).any(axis=0))
    shown = rises[evenly(len(rises), _MOST_POINTS)]
    requests = sum(int(part["n"].iloc[0]) for part in segments)
    values = shares.T[shown]
    low, high = student_intervals(values)
    return {
        "ttft_s": times[shown], "share": values.mean(axis=1),
        "low": low.clip(min=0.0), "high": high.clip(max=1.0),
        "segments": len(segments), "n": requests,
    }  # fmt: skip


def _within(segment: pd.DataFrame, times: Any) -> Any:
    last = np.searchsorted(segment["at"], times, side="right") - 1
    return np.where(last < 0, 0.0, segment["value"].to_numpy()[last])


def _ends(data: pd.DataFrame) -> tuple[float, float]:
    """Limits of the time axis of all panels, which include every step and every objective."""
    shown = data[["ttft_s", "slo_s"]]
    return shown.min().min() / 1.5, shown.max().max() * 1.5


def _panel(axis: Any, rows: pd.DataFrame, title: str, ends: tuple[float, float]) -> None:
    for order, system in enumerate(style.in_order(rows["system"])):
        look = style.look(system)
        mine = _to_the_ends(rows[rows["system"] == system], ends)
        axis.plot(
            mine["ttft_s"], mine["share"], **look.line, lw=1.2,
            markevery=_marked(mine["ttft_s"], order), ms=3, drawstyle="steps-post", clip_on=False,
        )  # fmt: skip
        axis.fill_between(
            mine["ttft_s"],
            mine["low"],
            mine["high"],
            color=look.colour,
            alpha=0.15,
            lw=0,
            step="post",
        )
    if len(rows):
        axis.axvline(rows["slo_s"].iloc[0], color="black", ls="--", lw=0.6)
    axis.set_xscale("log")
    axis.set(ylim=(0, 1.02), xlim=ends)
    axis.set_title(title, loc="left")


def _marked(times: pd.Series[float], order: int) -> list[int]:
    """Return the steps to mark: evenly along the axis, elsewhere for each curve, and none at the
    ends of the axis, which are no steps."""
    among = np.geomspace(times.iloc[1], times.iloc[-2], _MARKS + 1) * (1 + _SHIFT * order)
    found = np.searchsorted(times, among, side="right") - 1
    return [int(each) for each in np.unique(found.clip(1, len(times) - 2))]


def _to_the_ends(rows: pd.DataFrame, ends: tuple[float, float]) -> pd.DataFrame:
    """Extend from zero at the left end of the axis, and with the last share to the right end."""
    first = {"ttft_s": ends[0], "share": 0.0, "low": 0.0, "high": 0.0}
    last = rows[["share", "low", "high"]].tail(1).assign(ttft_s=ends[1])
    return pd.concat([pd.DataFrame([first]), rows, last], ignore_index=True)
