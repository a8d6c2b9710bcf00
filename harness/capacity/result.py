"""The result of a search: a bracket for each system and workload, and its points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .limits import Limits
from .loads import Subject
from .point import Point
from .search import Bracket, bracket, failing_below, next_load


@dataclass(frozen=True)
class Capacity:
    """The capacity of a system under a workload. ``points`` by load; loads are factors of the
    experiment's own load."""

    subject: Subject
    points: Mapping[float, Point]
    limits: Limits

    @property
    def next_load(self) -> float | None:
        """The load to test next; None: the search is over."""
        observed = {load: point.outcome for load, point in self.points.items()}
        return next_load(observed, self.limits)

    def with_point(self, point: Point) -> Capacity:
        return Capacity(self.subject, {**self.points, point.load: point}, self.limits)

    @cached_property
    def _feasible(self) -> Mapping[float, bool]:
        return {load: point.outcome.feasible for load, point in self.points.items()}

    @property
    def bracket(self) -> Bracket:
        return bracket(self._feasible)

    @property
    def interval(self) -> tuple[float | None, float | None]:
        """The highest load whose goals' 95 % intervals all pass, and the lowest above it of which
        one fails as a whole; None where no tested load does."""
        surely = {load: point.surely for load, point in self.points.items()}
        sure = bracket({load: found is True for load, found in surely.items()})
        failed = bracket({load: found is not False for load, found in surely.items()})
        return sure.feasible_max, failed.infeasible_min

    @property
    def best(self) -> Point | None:
        """The point at ``feasible_max``."""
        return self._at(self.bracket.feasible_max)

    @property
    def bound(self) -> Point | None:
        """The point at ``infeasible_min``."""
        return self._at(self.bracket.infeasible_min)

    @property
    def why(self) -> str:
        """Why the bracket is open, wide or not monotone; empty if it is neither."""
        found, tested = self.bracket, sorted(self.points)
        if not tested:
            return "no load tested yet"
        if found.feasible_max is None:
            return f"fails at {_every(tested)}"
        below = ", ".join(f"{load:g}" for load in failing_below(self._feasible))
        lines = [f"not monotone: fails at the lower load {below} too"] if below else []
        if found.infeasible_min is None:
            lines.append(f"passes up to the highest load tested, {tested[-1]:g}")
        if len(tested) >= self.limits.points:
            lines.append(f"ended after {len(tested)} load{'s' * (len(tested) > 1)}")
        return "; ".join(lines)

    def _at(self, load: float | None) -> Point | None:
        return None if load is None else self.points[load]

    def as_dict(self) -> dict[str, Any]:
        best, bound = self.best, self.bound
        return {
            "system": self.subject.system.label,
            "workload": self.subject.workload.label,
            "feasible_max": self.bracket.feasible_max,
            "infeasible_min": self.bracket.infeasible_min,
            "interval": self.interval,
            "requests_per_s": None if best is None else best.requests_per_s,
            "infeasible_requests_per_s": None if bound is None else bound.requests_per_s,
            "bound_by": list(bound.bound_by) if bound else [],
            "usd_per_1k_requests": None if best is None else best.usd_per_1k_requests,
            "fails_below": failing_below(self._feasible),
            "finished": self.next_load is None,
            "why": self.why,
            "points": [self.points[load].as_dict() for load in sorted(self.points)],
        }


def _every(loads: Sequence[float]) -> str:
    """Name loads in ascending order by the first and the last."""
    if len(loads) == 1:
        return f"load {loads[0]:g}"
    return f"every load from {loads[0]:g} to {loads[-1]:g}"


def as_document(found: Sequence[Capacity], goals: Sequence[str]) -> dict[str, Any]:
    """Return the content of ``capacity.json``."""
    return {"goals": list(goals), "systems": [each.as_dict() for each in found]}
