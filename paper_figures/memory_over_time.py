"""Memory of each system over time: by owner in the ledger, and as measured (the processes' PSS, and
on a card the driver's count)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.patheffects import withStroke

from . import style
from .errors import NothingToDrawError
from .frame import enclose, head
from .labels import panel_columns, panels
from .looks import fill

if TYPE_CHECKING:
    from harness.records import Cell, Run

NAME = "memory-over-time"
_GRID_NS = 100_000_000
_SECOND_NS = 1_000_000_000
_TITLES = {"kv": "KV cache", "host_tier": "host tier"}
_OUTLINE = withStroke(linewidth=1.8, foreground="white")
"""Around black lines, which would be invisible on dark areas."""
_MEASURED = {
    "measured-pss": ("measured PSS, all processes", "o-"),
    # The driver attributes a copy that processes share to no process.
    "measured-nvml": ("driver's count by process", "^:"),
}


def draw_figure(run: Run) -> Iterator[style.Drawing]:
    """Yield one figure per workload and seed, with one panel per system on a common scale. Raises
    ``NothingToDrawError`` if no system's memory is known."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in run.cells():
        groups.setdefault((cell.workload, cell.path.name), []).append(cell)
    seeds = {workload: min(s for w, s in groups if w == workload) for workload, _ in groups}
    found = [(key, *style.in_panels(cells, tidy)) for key, cells in sorted(groups.items())]
    if all(data.empty for _, _, data in found):
        raise NothingToDrawError(f"run {run.id}: memory {style.UNKNOWN}")
    for (workload, seed), cells, data in found:
        suffix = "" if seed == seeds[workload] else f"-{seed}"
        yield _draw(f"{NAME}-{workload}{suffix}", cells, data)


def tidy(cell: Cell) -> pd.DataFrame:
    """Return one row per time and owner. ``bytes`` of the ledger, over all devices and functions:
    every 0.1 s if the records have such times, else at every change. Measured samples, at most one
    per second, keep their times; their owner is the source's name."""
    memory = cell.table("memory").to_pandas()
    held = _held(memory[memory["source"] == "ledger"], cell.summary["duration_s"])
    measured = _each_second(memory[memory["source"].isin(_MEASURED)])
    rows: pd.DataFrame = pd.concat([held, measured], ignore_index=True)
    rows["t_s"] = rows.pop("t_ns") / 1e9
    rows.insert(0, "system", cell.system)
    return rows


def _held(ledger: pd.DataFrame, duration_s: float) -> pd.DataFrame:
    """A function's value holds until its next row."""
    wide = ledger.assign(function_id=ledger["function_id"].fillna("")).pivot_table(
        index="t_ns", columns=["owner", "device", "function_id"], values="bytes", aggfunc="last"
    )
    owners = wide.ffill().fillna(0).T.groupby(level="owner").sum().T.astype("int64")
    even = owners[owners.index % _GRID_NS == 0]
    shown = even if len(even) > duration_s * 1e9 // _GRID_NS else owners
    rows = shown.reset_index().melt("t_ns", var_name="owner", value_name="bytes")
    return rows.astype({"bytes": "int64"}).sort_values(["t_ns", "owner"], ignore_index=True)


def _each_second(samples: pd.DataFrame) -> pd.DataFrame:
    """Sum over all devices, first sample of each second. Nodes are sampled at different times: the
    last sample of each counts, from where all have one."""
    sums = [_sum(str(source), mine) for source, mine in samples.groupby("source")]
    whole = pd.concat([samples[["source", "t_ns", "bytes"]].head(0), *sums])
    later = whole.assign(second=whole["t_ns"] // _SECOND_NS).duplicated(["source", "second"])
    return whole[~later].rename(columns={"source": "owner"})


def _sum(source: str, samples: pd.DataFrame) -> pd.DataFrame:
    by_device = samples.pivot_table(index="t_ns", columns="device", values="bytes")
    known = by_device.ffill().dropna().sum(axis=1).astype("int64")
    return pd.DataFrame({"source": source, "t_ns": known.index, "bytes": known.to_numpy()})


def _draw(name: str, cells: list[Cell], data: pd.DataFrame) -> style.Drawing:
    style.apply(cell.system for cell in cells)
    figure, axes = panels(len(cells), 1.5, sharex=True, sharey=True)
    for axis, cell in zip(axes, cells, strict=True):
        _panel(axis, data[data["system"] == cell.system], cell.system)
    columns = panel_columns(len(cells))
    for axis in axes[::columns]:
        axis.set_ylabel("memory, GB")
    for axis in axes[-columns:]:
        axis.set_xlabel("time, s")
    # Last, because setting limits disables autoscaling for all panels.
    axes[0].set_xlim(left=0)
    axes[0].set_ylim(bottom=0)
    areas = f"workload {cells[0].workload}, areas: reserved by the ledger"
    enclose(figure, style.caption(cells, areas))
    return style.Drawing(name, figure, data)


def _panel(axis: Any, rows: pd.DataFrame, system: str) -> None:
    head(axis, style.look(system).name)
    if rows.empty:
        style.say_unknown(axis)
        return
    _areas(axis, rows[~rows["owner"].isin(_MEASURED)])
    for source, (label, line) in _MEASURED.items():
        seen = rows[rows["owner"] == source].sort_values("t_s")
        if len(seen):
            gb = seen["bytes"] / 1e9
            axis.plot(
                seen["t_s"], gb, line, color="black", ms=2, lw=0.6, label=label, clip_on=False,
                path_effects=[_OUTLINE],
            )  # fmt: skip


def _areas(axis: Any, held: pd.DataFrame) -> None:
    columns = held.pivot_table(index="t_s", columns="owner", values="bytes", fill_value=0)
    owners = [owner for owner in style.OWNERS if owner in columns]
    if owners:
        values = [columns[owner].to_numpy() / 1e9 for owner in owners]
        titles = [_TITLES.get(owner, owner) for owner in owners]
        areas = axis.stackplot(columns.index, *values, labels=titles, step="post")
        for area, owner in zip(areas, owners, strict=True):
            area.set(**fill(*style.OWNERS[owner]))
