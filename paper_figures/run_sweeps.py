"""The sweeps of a run: numbers over one axis of its experiment, for every load and every value of
the other axes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.axes import point_name, short_keys
from harness.reference.numbers import numbers

from . import style
from .errors import NothingToDrawError
from .sweep import Sweep

if TYPE_CHECKING:
    from harness.records import Cell, Run

Series = tuple[str, str]
"""A workload's label and the point on the other axes; empty without other axes."""


@dataclass(frozen=True, slots=True)
class Varied:
    """``key``: what a curve is over. ``beside``: keys that vary together with it."""

    key: str
    beside: tuple[str, ...]

    @property
    def title(self) -> str:
        return self._short[self.key]

    @property
    def along(self) -> str:
        """What varies together with it, for the caption; empty if nothing does."""
        others = " and ".join(self._short[key] for key in self.beside)
        return f"{others} changed with {self.title}" if others else ""

    @property
    def _short(self) -> Mapping[str, str]:
        return short_keys((self.key, *self.beside))

    def at(self, cell: Cell) -> float:
        return float(_point(cell)[self.key])

    def series(self, cell: Cell) -> Series:
        point = _point(cell)
        rest = {key: point[key] for key in point if key not in {self.key, *self.beside}}
        return str(cell.manifest.workload["label"]), point_name(rest)


def sweeps(run: Run) -> Iterator[tuple[str, Sweep]]:
    """Yield the sweep of each series with its name, which is empty if there is one series. Raises
    ``NothingToDrawError`` if the run's experiment varies no number."""
    varied = _varied(run)
    found: dict[Series, list[Cell]] = {}
    for cell in run.cells():
        found.setdefault(varied.series(cell), []).append(cell)
    for series, cells in found.items():
        told = "@".join(filter(None, series))
        yield told if len(found) > 1 else "", _sweep(run, varied, told, cells)


def is_swept(run: Run) -> bool:
    return bool(run.experiment.get("sweep"))


def _varied(run: Run) -> Varied:
    """Return the first key of the experiment's sweep that is a number, another at each value."""
    for axis in run.experiment.get("sweep", ()):
        for key, values in axis.items():
            if all(map(_is_number, values)) and len(set(values)) == len(values) > 1:
                return Varied(key, tuple(each for each in axis if each != key))
    raise NothingToDrawError(
        f"run {run.id}: no sweep over a number; give the experiment one, such as"
        " sweep: {workloads.time_scale: [1, 2, 4]}"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _sweep(run: Run, varied: Varied, load: str, cells: Sequence[Cell]) -> Sweep:
    there: dict[float, list[Cell]] = {}
    for cell in cells:
        there.setdefault(varied.at(cell), []).append(cell)
    rows = [row for at in sorted(there) for row in numbers(run.id, at, there[at], strict=False)]
    return Sweep(
        path=run.path,
        study=run.id,
        over=varied.title,
        ground=style.grounds(cells),
        numbers=pd.DataFrame(rows),
        load=style.joined((load, varied.along)),
        warning=style.reservations(cells),
        offered={at: rate for at, found in there.items() if (rate := _offered(found))},
    )


def _offered(cells: Sequence[Cell]) -> float:
    """Return the requests/s of the load, over all seeds; 0 if it has no duration: that of a closed
    loop depends on the answers."""
    seconds = sum(cell.manifest.workload.get("duration_s", 0) for cell in cells)
    return float(sum(cell.summary["n"] for cell in cells) / seconds) if seconds else 0.0


def _point(cell: Cell) -> Mapping[str, Any]:
    return cell.manifest.sweep or {}
