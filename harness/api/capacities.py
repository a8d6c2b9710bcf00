"""A search for capacities as DataFrames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from ..capacity import CapacityRecord, open_capacity
from ..capacity.rows import goal_rows, subject_rows
from ..places import RUNS


@dataclass(frozen=True)
class CapacityData:
    """A search on disk: the highest load at which each system keeps the goals."""

    record: CapacityRecord

    @property
    def path(self) -> Path:
        return self.record.path

    @property
    def goals(self) -> Sequence[str]:
        return self.record.request.goals

    @cached_property
    def systems(self) -> pd.DataFrame:
        """One row per system and workload: the bracket ``feasible_max`` to ``infeasible_min`` as
        factors of the experiment's load, ``requests_per_s`` and ``usd_per_1k_requests`` at
        ``feasible_max``; NaN where there is none (docs/capacity.md has all)."""
        return pd.DataFrame(list(subject_rows(self.record.result)))

    @cached_property
    def loads(self) -> pd.DataFrame:
        """One row per tested load and goal: its ``value`` with the 95 % interval ``low`` to
        ``high``, and whether the load is ``feasible``."""
        return pd.DataFrame(list(goal_rows(self.record.result)))


def load_capacity(name: str | Path, root: str | Path = RUNS) -> CapacityData:
    """Open a search by its folder, or by its id under ``root``. Raise ``RecordError`` if it is
    none."""
    return CapacityData(open_capacity(name, Path(root)))
