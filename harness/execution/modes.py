"""The modes of an experiment: its executor, and the order of its cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .cell_runner import CellRunner
from .executor import Executor, RunContext
from .live_executor import LiveExecutor
from .orders import in_turn, spread_out
from .simulated_executor import SimulatedExecutor


@dataclass(frozen=True, slots=True)
class ExecutionMode:
    """``order`` runs all missing cells. Its second argument is the number of processes for cells
    that may run in parallel; None: one per core."""

    executor: Callable[[RunContext], Executor]
    order: Callable[[CellRunner, int | None], None]


MODES: Mapping[str, ExecutionMode] = {
    "live": ExecutionMode(LiveExecutor, in_turn),
    "simulated": ExecutionMode(SimulatedExecutor, spread_out),
}
"""By ``Experiment.mode``."""
