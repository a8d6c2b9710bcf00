"""The price of isolation: latency, throughput, memory and cost of the same functions, divided among
more or fewer tenants. Systems without isolation levels are horizontal lines, but for those that
separate functions otherwise, which are left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import LogFormatter

from . import scales, style
from .conditions import dollars, prices
from .frame import enclose
from .isolation_points import CHECKED, LOAD, backbones, largest_differences, points
from .labels import panel_columns, panels
from .sweep_panels import Panel

if TYPE_CHECKING:
    import pandas as pd

    from harness.records import Cell, Run

NAME = "price-of-isolation"
TITLE = "The price of isolation"
_COST = "cost_usd"
PANELS = (
    Panel("ttft_from_schedule_s.mean", "mean TTFT, ms", log_y=True, scale=1e3),
    Panel("ttft_from_schedule_s.p95", "p95 TTFT, ms", log_y=True, scale=1e3),
    Panel("tpot_s.mean", "mean TPOT, ms", scale=1e3),
    Panel("output_tokens_per_s", "tokens/s"),
    Panel("memory_mean_gb", "mean device memory, GB"),
    Panel(_COST, "cost, $"),
)
LINES = {"live": "-", "simulated": "--"}
FILLS = {"live": "full", "simulated": "none"}
SHIFTS = {"live": -0.04, "simulated": 0.04}
"""So that two intervals at one number of tenants do not cover each other."""


def draw_runs(runs: Sequence[Run]) -> Iterator[style.Drawing]:
    """Yield one figure per load. A live and a simulated run of a load share its panels."""
    style.apply(cell.manifest.system["name"] for run in runs for cell in run.cells())
    data = points(runs, [panel.metric for panel in PANELS])
    drawn = set(zip(data["run"], data["label"], strict=True))
    cells = [cell for run in runs for cell in run.cells() if (run.id, cell.system) in drawn]
    for (models, workload), rows in data.groupby(LOAD):
        shown = [c for c in cells if (backbones(c), c.workload) == (models, workload)]
        yield _draw(f"{NAME}-{models}-{workload}", shown, rows)


def _draw(name: str, cells: Sequence[Cell], rows: pd.DataFrame) -> style.Drawing:
    counts = sorted(set(rows["tenants"].dropna()), reverse=True)
    figure, axes = panels(len(PANELS), 1.65, sharex=True)
    for axis, panel in zip(axes, _panels(rows), strict=True):
        _panel(axis, panel, rows[rows["metric"] == panel.metric], _ends(counts))
    axes[0].set_xticks(_places(counts), [f"{count:g}" for count in counts])
    several = len(cells[0].manifest.deployment["backbones"]) > 1
    for axis in axes[-panel_columns(len(PANELS)) :]:
        axis.set_xlabel("tenants × backbones" if several else "tenants")
    enclose(figure, _caption(cells, rows), TITLE)
    return style.Drawing(name, figure, rows.drop(columns=CHECKED))


def _panels(rows: pd.DataFrame) -> Iterator[Panel]:
    """Yield the panels, costs in the unit that fits them."""
    for panel in PANELS:
        if panel.metric == _COST:
            scale, unit = dollars(rows[rows["metric"] == _COST]["value"])
            panel = replace(panel, unit=f"cost, {unit}", scale=scale)
        yield panel


class _Between(LogFormatter):
    """Labels between powers of ten in the form of those at them: 60,000, not 6e+04."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:,g}" if super().__call__(x, pos) else ""


def _panel(axis: Any, panel: Panel, rows: pd.DataFrame, ends: tuple[float, float]) -> None:
    axis.set_ylabel(panel.unit)
    known = rows[rows["value"].notna()]
    if known.empty:
        style.say_unknown(axis)
        return
    for system in style.in_order(known["system"]):
        for mode, mine in known[known["system"] == system].groupby("mode"):
            _series(axis, system, str(mode), mine, panel.scale, ends)
    if panel.log_y:
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter("{x:,g}")
        axis.yaxis.set_minor_formatter(_Between(minor_thresholds=(1, 0.4)))
    else:
        scales.from_zero(axis)


def _series(
    axis: Any, system: str, mode: str, rows: pd.DataFrame, scale: float, ends: tuple[float, float]
) -> None:
    """Draw the values of a system by the number of tenants, or a horizontal line if it has no
    isolation levels."""
    name, colour, mark, *_ = style.look(system)
    of = {"color": colour, "ls": LINES[mode], "label": f"{name}, {mode}", "lw": 1.2}
    for value in rows[rows["tenants"].isna()]["value"]:
        axis.plot(ends, [scale * value] * 2, marker=mark, fillstyle=FILLS[mode], ms=4, **of)
    levels = rows[rows["tenants"].notna()].sort_values("tenants")
    if levels.empty:
        return
    values, low, high = (scale * levels[key].astype(float) for key in ("value", "low", "high"))
    places = _places(levels["tenants"]) + SHIFTS[mode]
    axis.plot(places, values, marker=mark, fillstyle=FILLS[mode], ms=4, **of)
    reach = [values - low.clip(lower=0), high - values]
    axis.errorbar(places, values, reach, fmt="none", ecolor=colour, elinewidth=0.6)


def _places(counts: Any) -> Any:
    """Positions of numbers of tenants: equal factors are equally far apart, isolation decreases to
    the right."""
    return -np.log2(np.asarray(counts, dtype=float))


def _ends(counts: Sequence[float]) -> tuple[float, float]:
    """Ends of the horizontal lines, beyond the outermost numbers of tenants."""
    most, least = _places([counts[0], counts[-1]])
    return most - 0.3, least + 0.3


def _caption(cells: Sequence[Cell], rows: pd.DataFrame) -> str:
    """Name the runs, the load, and how far the simulation is from the live run."""
    functions = {len(cell.manifest.deployment["functions"]) for cell in cells}
    load = f"{rows['workload'].iloc[0]}, {rows['backbones'].iloc[0]}"
    told = f"{load}, {' or '.join(map(str, sorted(functions)))} functions; {prices(cells)}"
    lines = [style.caption(cells, "bars: 95 %"), told]
    units = {panel.metric: panel.unit.partition(",")[0] for panel in PANELS}
    if off := largest_differences(rows):
        each = ", ".join(f"{units[name]} {off[name]:.0%}" for name in units if name in off)
        lines.append(f"largest difference of simulated from live: {each}")
    return "\n".join(lines)
