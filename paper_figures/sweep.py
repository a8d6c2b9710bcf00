"""The records of a sweep, and lines over the number that was varied."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import RecordError
from harness.records.files import read_kept

from . import style

_APART = 1.2
_VALUES = ("value", "low", "high")


@dataclass(frozen=True)
class Sweep:
    """``numbers``: a row a value of what ``over`` says, system, metric; with 95 % intervals."""

    name: str
    over: str
    profile: Mapping[str, Any]
    numbers: pd.DataFrame

    def caption(self, more: str) -> str:
        return f"{style.simulated(self.profile)}; run {self.name}; {more}"


def open_sweep(path: Path) -> Sweep:
    """``RecordError`` where the folder holds no sweep."""
    try:
        about = json.loads((path / "study.json").read_bytes())
        numbers = read_kept(path / "numbers.parquet").to_pandas()
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: no sweep (study.json, numbers.parquet)") from error
    return Sweep(path.name, about["study"]["over"], about["profile"], numbers)


def lines(
    axis: Any, sweep: Sweep, metric: str, unit: str, *, log_y: bool = False, scale: float = 1.0
) -> pd.DataFrame:
    """A line a system with the band of its interval; the rows that it shows."""
    rows = sweep.numbers[sweep.numbers["metric"] == metric].sort_values(["system", "at"])
    rows = rows.assign(**{name: rows[name].astype(float) * scale for name in _VALUES})
    for system in style.in_order(rows["system"]):
        name, colour, mark = style.look(system)
        mine = rows[rows["system"] == system]
        axis.plot(mine["at"], mine["value"], marker=mark, color=colour, label=name, ms=3.5, lw=1.2)
        axis.fill_between(
            mine["at"], mine["low"], mine["high"], color=colour, alpha=0.15, linewidth=0
        )
    axis.set_xscale("log", base=2)
    ticks(axis, sorted(set(rows["at"])))
    axis.tick_params("x", labelsize=6)
    if log_y:
        axis.set_yscale("log")
        # A bootstrap's lower end may be near zero, which has no place on this axis.
        axis.set_ylim(bottom=rows["value"].min() / 3)
    else:
        axis.set_ylim(bottom=0)
    axis.set(xlabel=sweep.over, ylabel=unit)
    return rows


def ticks(axis: Any, values: Sequence[float]) -> None:
    """At values that were run, in plain numbers, those left out that would run into others."""
    apart = [values[0]]
    for value in values[1:]:
        if value >= _APART * apart[-1]:
            apart.append(value)
    axis.set_xticks(apart, [f"{value:g}" for value in apart])
    axis.minorticks_off()
