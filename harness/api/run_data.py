"""A run's records as DataFrames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ..places import RUNS
from ..records import Cell, Run, open_run
from . import frames


@dataclass(frozen=True)
class RunData:
    """A run on disk. Frames are read on first access; each row names its run, system, workload,
    seed, repeat and the values of its sweep."""

    record: Run

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def path(self) -> Path:
        return self.record.path

    @property
    def experiment(self) -> Mapping[str, Any]:
        """The complete experiment, as in its file."""
        return self.record.experiment

    @cached_property
    def cells(self) -> Sequence[Cell]:
        """The finished cells, with their manifests and summaries."""
        return self.record.cells()

    @property
    def valid(self) -> bool:
        """Whether every cell is valid; ``problems`` has the reasons."""
        return all(cell.manifest.valid for cell in self.cells)

    @property
    def problems(self) -> list[str]:
        """Reasons for which cells are invalid, one line each."""
        return [
            f"{cell.system}/{cell.workload}: {problem}"
            for cell in self.cells
            for problem in cell.manifest.problems
        ]

    @cached_property
    def requests(self) -> pd.DataFrame:
        """One row per request of the schedule. Derived: ``ttft_s``, ``ttft_from_schedule_s``,
        ``tpot_s``, ``e2e_s``, ``lateness_s``, ``slo_met``, ``cost_usd``."""
        return frames.joined(self.cells, frames.requests)

    @cached_property
    def spans(self) -> pd.DataFrame:
        """One row per stage of a request. Derived: ``seconds``, ``function_id``."""
        return frames.joined(self.cells, frames.spans)

    @cached_property
    def memory(self) -> pd.DataFrame:
        """One row per change in the system's ledger and per sample from outside (``source``).
        Derived: ``t_s``, ``gb``."""
        return frames.joined(self.cells, frames.memory)

    @cached_property
    def bill(self) -> pd.DataFrame:
        """One row per resource and interval. Derived: ``seconds``. Empty if the cost is not
        known."""
        return frames.joined(self.cells, frames.bill)

    def figures(self, folder: str | Path, *names: str) -> list[Path]:
        """Draw figures by name into ``folder``, by default all for which the run has data; return
        the PNGs. Raise ``HarnessError`` for a named figure that cannot be drawn."""
        from paper_figures import draw, draw_each, names_for

        if names:
            return [path for name in names for path in draw(name, self.record, Path(folder))]
        return list(draw_each(names_for(self.record), self.record, Path(folder)).paths)


def load_run(name: str | Path, root: str | Path = RUNS) -> RunData:
    """Open a run by its folder, or by its id under ``root``. Raise ``RecordError`` if it is
    none."""
    return RunData(open_run(name, Path(root)))
