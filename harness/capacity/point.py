"""A point of a search: what the cells of one system and workload show at one load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import HarnessError
from ..metrics import METRICS, Frame, Metric, Observation
from ..metrics.observation import VALUE
from ..records.samples import samples
from ..stats import Estimate, student_interval
from .goal import Goal, Verdict
from .queue import grows
from .search import Outcome

if TYPE_CHECKING:
    from ..records import Cell

_TABLES = ("requests", "spans", "memory", "billing")
_ANSWERED, _COST = "success_share", "usd_per_1k_requests"


@dataclass(frozen=True, slots=True)
class Point:
    """``load``: factor of the experiment's own. ``requests_per_s``: offered. ``answered``: share of
    the requests. ``bound_by``: what failed, a line each; empty if the load is feasible."""

    load: float
    requests_per_s: float
    answered: float
    usd_per_1k_requests: float | None
    verdicts: tuple[Verdict, ...]
    bound_by: tuple[str, ...]
    saturated: bool
    problems: tuple[str, ...]
    """Why cells are invalid; an invalid point does not pass."""

    @property
    def outcome(self) -> Outcome:
        return Outcome(not self.bound_by, self.saturated)

    @property
    def surely(self) -> bool | None:
        """Whether the goals' intervals pass as a whole (True), or one misses its goal as a whole
        (False); None: neither."""
        found = {each.surely for each in self.verdicts}
        return False if False in found else True if found == {True} else None

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "feasible": self.outcome.feasible}


def point_of(load: float, cells: Sequence[Cell], goals: Sequence[Goal], answered: float) -> Point:
    """Judge a load by its cells over seeds and repeats. ``answered``: share of the requests that
    must be answered. Raise ``HarnessError`` if a goal cannot be judged."""
    wanted = {each.metric.name for each in goals} | {_ANSWERED, _COST}
    frames = [_frame(cell) for cell in samples(cells)]
    seen = {each.name: _observed(each, frames) for each in METRICS if each.name in wanted}
    share = _estimate(seen[_ANSWERED], VALUE).value or 0.0
    verdicts = tuple(goal.judge(_estimate(seen[goal.metric.name], goal.part)) for goal in goals)
    problems = tuple(problem for cell in cells for problem in cell.manifest.problems)
    bound = tuple(_bounds(verdicts, share, answered, problems))
    _refuse_unknown(verdicts, bound, load, cells[0])
    return Point(
        load,
        sum(_offered_rps(frame) for frame in frames) / len(frames),
        share,
        _estimate(seen[_COST], VALUE).value,
        verdicts,
        bound,
        all(grows(frame) for frame in frames),
        problems,
    )


def _bounds(
    verdicts: Sequence[Verdict], share: float, answered: float, problems: Sequence[str]
) -> list[str]:
    missed = [f"{each.goal}: {each.value:.4g}" for each in verdicts if each.met is False]
    few = [f"answered >= {answered:g}: {share:.4g}"] if share < answered else []
    return [*missed, *few, *(f"invalid: {problem}" for problem in problems)]


def _refuse_unknown(
    verdicts: Sequence[Verdict], bound: Sequence[str], load: float, cell: Cell
) -> None:
    """A point that fails anyway needs no further goal; one that would pass does."""
    unknown = [each.goal for each in verdicts if each.met is None]
    if unknown and not bound:
        raise HarnessError(
            f"--goal '{unknown[0]}': not known of {cell.system} under {cell.workload} at load"
            f" {load:g}; it takes more requests (more seeds), or a metric that the system reports"
        )


def _frame(cell: Cell) -> Frame:
    return Frame({name: cell.table(name) for name in _TABLES}, cell.summary["duration_s"])


def _offered_rps(frame: Frame) -> float:
    """Requests per second of the schedule, from the first to the last."""
    due = frame.number("scheduled_ns")
    return float((len(due) - 1) / max((due[-1] - due[0]) / 1e9, 1e-9))


def _observed(each: Metric, frames: Sequence[Frame]) -> list[Observation]:
    """Observe the frames; nothing if one of them lacks the value."""
    seen = [found for frame in frames if (found := each.observe(frame)) is not None]
    return seen if len(seen) == len(frames) else []


def _estimate(seen: Sequence[Observation], part: str) -> Estimate:
    """Pool the cells. The interval is that of the pooled requests. Where they are too few or depend
    on each other too much, it is Student's over the cells, if there are three."""
    if not seen:
        return Estimate(None, 0)
    pooled = type(seen[0]).pooled(seen).estimates[part]
    values = [each.estimates[part].value for each in seen]
    known = [value for value in values if value is not None]
    if pooled.ci95 is not None or len(known) < len(values):
        return pooled
    return replace(pooled, ci95=student_interval(known))
