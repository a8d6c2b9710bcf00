"""What each system holds on its device over time, by owner, and the processes' measured PSS."""

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
    measured samples keep their own times under the owner ``measured-pss``."""
    memory = cell.table("memory").to_pandas()
    even = memory[(memory["source"] == "ledger") & (memory["t_ns"] % _GRID_NS == 0)]
    held: pd.DataFrame = even.groupby(["t_ns", "owner"], as_index=False)["bytes"].sum()
    measured = memory[memory["source"] == "measured-pss"][["t_ns", "bytes"]]
    rows: pd.DataFrame = pd.concat([held, measured.assign(owner="measured-pss")], ignore_index=True)
    rows["t_s"] = rows.pop("t_ns") / 1e9
    rows.insert(0, "system", cell.system)
    return rows


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
    held = rows[rows["owner"] != "measured-pss"]
    columns = held.pivot_table(index="t_s", columns="owner", values="bytes", fill_value=0)
    owners = [owner for owner in style.OWNERS if owner in columns]
    if owners:
        values = [columns[owner].to_numpy() / 1e9 for owner in owners]
        colours = [style.OWNERS[owner] for owner in owners]
        axis.stackplot(
            columns.index, *values, labels=owners, colors=colours, linewidth=0, step="post"
        )
    measured = rows[rows["owner"] == "measured-pss"].sort_values("t_s")
    axis.plot(
        measured["t_s"],
        measured["bytes"] / 1e9,
        "o-",
        color="black",
        ms=2,
        lw=0.6,
        label="measured PSS, gateway and template included",
    )
    axis.set_xlabel("time, s")
    axis.set_xlim(left=0)
    axis.set_title(system, loc="left", fontweight="bold")
