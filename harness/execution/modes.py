"""The modes of an experiment: what executes its cells, and in which order."""

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
    """``order`` runs all cells that are missing; its second argument is the number of processes
    for those that may run side by side, None: one a core."""

    executor: Callable[[RunContext], Executor]
    order: Callable[[CellRunner, int | None], None]


MODES: Mapping[str, ExecutionMode] = {
    "live": ExecutionMode(LiveExecutor, in_turn),
    "simulated": ExecutionMode(SimulatedExecutor, spread_out),
}
"""By ``Experiment.mode``."""
