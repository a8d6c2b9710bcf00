"""The records of a sweep, and lines over the varied number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NotRequired

import numpy as np
import pandas as pd
import pyarrow as pa
from matplotlib.ticker import LogLocator, NullFormatter
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from harness.errors import RecordError
from harness.records.files import read_kept

from . import scales, style

_ABOUT, _NUMBERS = "study.json", "numbers.parquet"
_APART = 1.2
_APART_OF_ALL = 0.07
"""Part of a logarithmic axis that a tick's label takes."""
_BELOW = 3.0
"""Factor between the smallest value and the lower end of a logarithmic axis."""
_FEW_TICKS = 1000.0
"""Factor between the ends of a logarithmic axis below which powers of ten alone are too few."""
_ROOM, _ROOM_LOG = 1.08, 1.4
"""Factors between a published mark and the upper end of a linear and of a logarithmic axis."""
_VALUES = ("value", "low", "high")

_COLUMNS = pa.schema(
    [
        pa.field("system", pa.string(), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("at", pa.float64(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
    ]
)


class _Profile(TypedDict):
    name: str
    last_check: NotRequired[Mapping[str, Mapping[str, float | None]] | None]


class _Study(TypedDict):
    name: str
    over: str
    published_at: NotRequired[float | None]


class _About(TypedDict):
    study: _Study
    profile: _Profile


_STUDIES: TypeAdapter[_About] = TypeAdapter(_About)


@dataclass(frozen=True)
class Sweep:
    """``numbers``: one row per value of ``over``, system and metric, with 95 % intervals.
    ``study``: name of its study, or of the run. ``ground``: live or simulated, on what.
    ``published_at``: the value in the paper's evaluation, if it has one. ``load``: named in the
    caption of a run's. ``offered``: requests/s by value of ``over``, where that does not tell
    them."""

    path: Path
    study: str
    over: str
    ground: str
    numbers: pd.DataFrame
    published_at: float | None = None
    load: str = ""
    warning: str = ""
    offered: Mapping[float, float] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.path.name

    def caption(self, more: str) -> str:
        parts = (self.ground, f"run {self.id}", self.load, more, self.warning)
        return style.joined(parts)


def is_sweep(path: Path) -> bool:
    return (path / _NUMBERS).exists()


def open_sweep(path: Path) -> Sweep:
    """Open a sweep. Raises ``RecordError`` if the folder has none."""
    try:
        about = _STUDIES.validate_json((path / _ABOUT).read_bytes())
        numbers = _checked(read_kept(path / _NUMBERS))
        study, ground = about["study"], style.simulated(about["profile"])
        published_at = study.get("published_at")
        return Sweep(path, study["name"], study["over"], ground, numbers, published_at)
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: no sweep ({_ABOUT}, {_NUMBERS})") from error


def _checked(numbers: pa.Table) -> pd.DataFrame:
    """Raise ``ValueError`` if a column is missing, has another type, or lacks a value of a row."""
    for column in _COLUMNS:
        if column.name not in numbers.column_names or numbers[column.name].type != column.type:
            raise ValueError(f"no column {column.name} of {column.type}")
        if not column.nullable and numbers[column.name].null_count:
            raise ValueError(f"rows without {column.name}")
    frame: pd.DataFrame = numbers.to_pandas()
    return frame


def lines(
    axis: Any, sweep: Sweep, metric: str, unit: str, *, log_y: bool = False, scale: float = 1.0
) -> pd.DataFrame:
    """Draw one line per system with its interval as a band, and return the drawn rows. ``banded``:
    whether the band is drawn. On a logarithmic axis, a band that extends below the axis is not
    drawn: cut off, it would seem to end at the axis. Marks on an end of the axis are drawn
    whole."""
    rows = sweep.numbers[sweep.numbers["metric"] == metric].sort_values(["system", "at"])
    rows = rows.assign(**{name: rows[name].astype(float) * scale for name in _VALUES})
    least = rows["value"].min() / _BELOW if log_y else -np.inf
    rows = rows.assign(banded=rows["low"] >= least)
    for system in style.in_order(rows["system"]):
        look = style.look(system)
        mine = rows[rows["system"] == system]
        axis.plot(mine["at"], mine["value"], **look.line, ms=3.5, lw=1.2, clip_on=False)
        axis.fill_between(
            mine["at"], mine["low"].clip(lower=0), mine["high"], where=mine["banded"],
            color=look.colour, alpha=0.15, linewidth=0,
        )  # fmt: skip
    if log_y:
        axis.set_yscale("log")
    axis.set(xlabel=sweep.over, ylabel=unit)
    if len(rows):
        _scale_x(axis, sorted(set(rows["at"])))
    axis.tick_params("x", labelsize=style.SMALL_PT)
    return rows


def bands_told(rows: pd.DataFrame) -> list[str]:
    """Say for the caption what the bands of drawn rows are, where there are some."""
    known = rows["low"].notna()
    told = ["bands: 95 %"] if (known & rows["banded"]).any() else []
    left_out = ["no band where it reaches below the axis"]
    return told + (left_out if (known & ~rows["banded"]).any() else [])


def _scale_x(axis: Any, values: Sequence[float]) -> None:
    """Draw the values logarithmically, unless one is not positive."""
    if values[0] > 0:
        axis.set_xscale("log", base=2)
        ticks(axis, values)
    else:
        axis.set_xticks(values, [f"{value:g}" for value in values])


def fit(axis: Any, rows: pd.DataFrame, marks: Sequence[float], *, log_y: bool) -> None:
    """Set the ends of the axis, after everything is drawn, with room above the published
    ``marks``."""
    if log_y:
        axis.set_ylim(bottom=rows["value"].min() / _BELOW)
    else:
        scales.from_zero(axis)
    bottom, top = axis.get_ylim()
    axis.set_ylim(top=max([top, *(mark * (_ROOM_LOG if log_y else _ROOM) for mark in marks)]))
    if log_y and top < _FEW_TICKS * bottom:
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())


def ticks(axis: Any, values: Sequence[float]) -> None:
    """Set ticks at the values of the sweep, in plain numbers; overlapping ones are left out."""
    apart = [values[0]]
    least = max(_APART, (values[-1] / values[0]) ** _APART_OF_ALL)
    for value in values[1:]:
        if value >= least * apart[-1]:
            apart.append(value)
    axis.set_xticks(apart, [f"{value:g}" for value in apart])
    axis.minorticks_off()
