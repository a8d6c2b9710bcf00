"""What each system holds on its device over time, by owner, and what was measured: the processes'
PSS, and on a card what the driver says is theirs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import pandas as pd

from . import style

if TYPE_CHECKING:
    from harness.records import Cell, Run

NAME = "memory-over-time"
_GRID_NS = 100_000_000
_SECOND_NS = 1_000_000_000
_MEASURED = {
    "measured-pss": ("measured PSS, all processes", "o-"),
    # A copy that processes share is none's: the driver counts it for nobody.
    "measured-nvml": ("driver's count by process", "^:"),
}


def draw_figure(run: Run) -> Iterator[style.Drawing]:
    """One figure a workload and seed: a panel a system, all to one scale."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in run.cells():
        groups.setdefault((cell.workload, cell.path.name), []).append(cell)
    seeds = {workload: min(s for w, s in groups if w == workload) for workload, _ in groups}
    for (workload, seed), cells in sorted(groups.items()):
        suffix = "" if seed == seeds[workload] else f"-{seed}"
        yield _draw(f"{NAME}-{workload}{suffix}", cells)


def tidy(cell: Cell) -> pd.DataFrame:
    """A row per tenth of a second and owner: ``bytes`` of the ledger, all devices and functions;
    measured samples, one a second at most, keep their own times under their source's name."""
    memory = cell.table("memory").to_pandas()
    even = memory[(memory["source"] == "ledger") & (memory["t_ns"] % _GRID_NS == 0)]
    held: pd.DataFrame = even.groupby(["t_ns", "owner"], as_index=False)["bytes"].sum()
    measured = _each_second(memory[memory["source"].isin(_MEASURED)])
    rows: pd.DataFrame = pd.concat([held, measured], ignore_index=True)
    rows["t_s"] = rows.pop("t_ns") / 1e9
    rows.insert(0, "system", cell.system)
    return rows


def _each_second(samples: pd.DataFrame) -> pd.DataFrame:
    """All devices together, the first sample of each second."""
    whole = samples.groupby(["source", "t_ns"])[["bytes"]].sum().reset_index()
    later = whole.assign(second=whole["t_ns"] // _SECOND_NS).duplicated(["source", "second"])
    return whole[~later].rename(columns={"source": "owner"})


def _draw(name: str, cells: list[Cell]) -> style.Drawing:
    style.apply()
    ordered, data = style.in_panels(cells, tidy)
    figure, axes = plt.subplots(
        1,
        len(ordered),
        figsize=(style.PAGE_IN, 2.4),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, cell in zip(axes[0], ordered, strict=True):
        _panel(axis, data[data["system"] == cell.system], cell.system)
    axes[0, 0].set_ylabel("memory, GB")
    handles, labels = axes[0, -1].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=len(labels), frameon=False, loc="outside upper center")
    figure.supxlabel(
        style.caption(cells, f"workload {cells[0].workload}, areas: reserved by the ledger"),
        fontsize=6,
    )
    return style.Drawing(name, figure, data)


def _panel(axis: Any, rows: Any, system: str) -> None:
    held = rows[~rows["owner"].isin(_MEASURED)]
    columns = held.pivot_table(index="t_s", columns="owner", values="bytes", fill_value=0)
    owners = [owner for owner in style.OWNERS if owner in columns]
    if owners:
        values = [columns[owner].to_numpy() / 1e9 for owner in owners]
        colours = [style.OWNERS[owner] for owner in owners]
        axis.stackplot(
            columns.index, *values, labels=owners, colors=colours, linewidth=0, step="post"
        )
    for source, (label, line) in _MEASURED.items():
        seen = rows[rows["owner"] == source].sort_values("t_s")
        if len(seen):
            gb = seen["bytes"] / 1e9
            axis.plot(seen["t_s"], gb, line, color="black", ms=2, lw=0.6, label=label)
    axis.set_xlabel("time, s")
    axis.set_xlim(left=0)
    axis.set_title(system, loc="left", fontweight="bold")
