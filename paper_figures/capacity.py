"""The goals of a search for capacities over the offered load: the loads that passed (filled) and
failed (hollow), the limit, and the bracket of each system as a band."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from harness.capacity.rows import goal_rows

from . import style
from .errors import NothingToDrawError
from .frame import enclose
from .labels import wide_panels

if TYPE_CHECKING:
    from harness.capacity import CapacityRecord, Goal

NAME = "capacity"


def draw_search(record: CapacityRecord) -> Iterator[style.Drawing]:
    """Yield a drawing per workload, with a panel per goal. Raise ``NothingToDrawError`` if no load
    was tested."""
    found = record.result["systems"]
    if not any(each["points"] for each in found):
        raise NothingToDrawError(f"search {record.id}: no load was tested")
    workloads = list(dict.fromkeys(each["workload"] for each in found))
    for workload in workloads:
        chosen = [each for each in found if each["workload"] == workload]
        name = NAME if len(workloads) == 1 else f"{NAME}-{workload}"
        yield _drawing(name, record, chosen)


def _drawing(
    name: str, record: CapacityRecord, found: Sequence[Mapping[str, Any]]
) -> style.Drawing:
    style.apply(each["system"] for each in record.result["systems"])
    goals = record.request.parsed
    rows = pd.DataFrame(list(goal_rows({"systems": found})))
    figure, axes = wide_panels(len(goals), 1.7)
    for axis, goal in zip(axes, goals, strict=True):
        _panel(axis, goal, rows[rows["goal"] == str(goal)], found)
    banded = any(None not in _ends(each) for each in found)
    enclose(figure, _caption(record, rows, banded=banded))
    return style.Drawing(name, figure, rows)


def _panel(axis: Any, goal: Goal, rows: pd.DataFrame, found: Sequence[Mapping[str, Any]]) -> None:
    for system in style.in_order(rows["system"]):
        _line(axis, system, rows[rows["system"] == system].sort_values("requests_per_s"))
    for each in found:
        ends = _ends(each)
        if None not in ends:
            axis.axvspan(*ends, color=style.look(each["system"]).colour, alpha=0.15, linewidth=0)
    axis.axhline(goal.limit, color="black", lw=0.8, ls="--")
    known = rows["value"].dropna()
    if goal.metric.unit.startswith("s") and goal.limit > 0 and (known > 0).all():
        _in_decades(axis, "y")
    _in_decades(axis, "x")
    axis.set(xlabel="offered requests/s", ylabel=str(goal))


def _ends(each: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Return the requests per second of the bracket."""
    return each["requests_per_s"], each["infeasible_requests_per_s"]


def _in_decades(axis: Any, which: str) -> None:
    """Make the axis logarithmic, with ticks in plain numbers."""
    getattr(axis, f"set_{which}scale")("log")
    side = getattr(axis, f"{which}axis")
    side.set_major_locator(LogLocator(subs=(1, 2, 5)))
    side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    side.set_minor_formatter(NullFormatter())


def _line(axis: Any, system: str, mine: pd.DataFrame) -> None:
    name, colour, mark, dashes, _ = style.look(system)
    rate, value = mine["requests_per_s"], mine["value"]
    axis.plot(rate, value, color=colour, lw=0.8, ls=dashes, label=name)
    reach = np.vstack([value - mine["low"], mine["high"] - value]).clip(min=0)
    axis.errorbar(rate, value, reach, fmt="none", ecolor=colour, elinewidth=0.6)
    passed = mine["feasible"].to_numpy(dtype=bool)
    axis.plot(rate[passed], value[passed], mark, color=colour, ms=4)
    axis.plot(rate[~passed], value[~passed], mark, mfc="white", mec=colour, ms=4)


def _caption(record: CapacityRecord, rows: pd.DataFrame, *, banded: bool) -> str:
    cells = record.cells()
    told = [style.grounds(cells), f"run {record.id}", style.invalid(cells)]
    told += ["whiskers: 95 %"] if rows["low"].notna().any() else []
    marks = "filled: every goal kept, hollow: not; dashed: the limit"
    bands = ["band: between the highest load that passed and the lowest that failed"] * banded
    return style.joined([*told, marks, *bands])
