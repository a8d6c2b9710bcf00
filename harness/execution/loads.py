"""The workloads of cells, and the schedules that are drawn from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.cells.plan import CellPlan

if TYPE_CHECKING:
    from harness.replay import Schedule
    from workloads.trace import Workload


class Loads:
    """Loads workloads and draws schedules. It keeps the last of both, because the cells of several
    systems under one load follow each other."""

    def __init__(self) -> None:
        self._loaded: tuple[str, Workload] | None = None
        self._drawn: tuple[str, int, Schedule] | None = None

    def workload(self, plan: CellPlan) -> Workload:
        """Return the cell's workload. Raises as ``catalogue.load`` does."""
        from workloads import catalogue

        key = _key(plan)
        if self._loaded is None or self._loaded[0] != key:
            choice = plan.workload
            found = catalogue.load(choice.name, seed=plan.seed, **choice.overrides)
            self._loaded = (key, found)
        return self._loaded[1]

    def schedule(self, plan: CellPlan, vocab_size: int) -> Schedule:
        """Return the schedule of the cell's workload, with token ids below ``vocab_size``."""
        from harness.replay import build_schedule

        key = _key(plan)
        if self._drawn is None or self._drawn[:2] != (key, vocab_size):
            found = build_schedule(self.workload(plan), seed=plan.seed, vocab_size=vocab_size)
            self._drawn = (key, vocab_size, found)
        return self._drawn[2]


def _key(plan: CellPlan) -> str:
    """Name all that a workload depends on, the types of numbers included."""
    return repr((plan.workload.name, plan.seed, plan.workload.overrides))
