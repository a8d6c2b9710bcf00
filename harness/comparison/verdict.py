"""Judges a comparison by conditions on the change from its baseline.

A change past the limit counts if its whole 95 % interval is past it; where there is no interval,
the value alone decides. A value that only one of two levels has fails the condition, since a system
that answers nothing has no latency; one that both lack is not judged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..errors import HarnessError
from ..stats import Interval
from .gate import Gate
from .match import Matched
from .row import Row
from .rows import Comparison
from .selection import require


class Outcome(StrEnum):
    ABSENT = "not judged"
    HOLDS = "holds"
    UNSURE = "not significant"
    UNKNOWN = "unknown"
    FAILS = "fails"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``ours``, ``base``: None if the level or the baseline lacks the metric."""

    gate: Gate
    entry: Matched
    baseline: str
    ours: Row | None
    base: Row | None

    @property
    def failed(self) -> bool:
        return self.outcome in (Outcome.FAILS, Outcome.UNKNOWN)

    @property
    def ratio(self) -> float | None:
        """To the baseline; infinite if only the baseline is 0."""
        ours, base = _value(self.ours), _value(self.base)
        return None if ours is None or base is None else _over(ours, base)

    @property
    def ci95(self) -> Interval | None:
        """Interval of the ratio. If it has none, a wider one from the intervals of both values."""
        if self.ours and self.ours.ratio and self.ours.ratio.ci95:
            return self.ours.ratio.ci95
        ours, base = (row and row.estimate.ci95 for row in (self.ours, self.base))
        return (_over(ours[0], base[1]), _over(ours[1], base[0])) if ours and base else None

    @property
    def outcome(self) -> Outcome:
        if self.ratio is None:
            lone = _value(self.ours) is not None or _value(self.base) is not None
            return Outcome.UNKNOWN if lone else Outcome.ABSENT
        if not self.gate.beyond(self.ratio):
            return Outcome.HOLDS
        sure = self.ci95 is None or all(map(self.gate.beyond, self.ci95))
        return Outcome.FAILS if sure else Outcome.UNSURE

    def as_dict(self) -> dict[str, Any]:
        return {
            "fail_if": self.gate.text,
            "system": self.entry.system,
            "workload": self.entry.workload,
            "level": self.entry.level,
            "outcome": str(self.outcome),
            "change": _change(self.ratio),
            "change_ci95": self.ci95 and [_change(end) for end in self.ci95],
        }


def judge(comparison: Comparison, gates: Sequence[Gate]) -> list[Verdict]:
    """Judge every level but the baseline. Raises ``HarnessError`` for a condition on a metric that
    is not there, or that cannot be judged anywhere."""
    require(comparison, [gate.metric for gate in gates], "--fail-if", whole=True)
    return [verdict for gate in gates for verdict in _judged(comparison, gate)]


def _judged(comparison: Comparison, gate: Gate) -> list[Verdict]:
    found = [
        verdict
        for group in _groups(comparison, gate.metric)
        for verdict in _of_group(group, gate, str(comparison.baseline))
    ]
    if all(each.outcome is Outcome.ABSENT for each in found):
        raise HarnessError(
            f"--fail-if {gate.text!r}: no value to compare with {comparison.baseline}; give runs"
            " that have it, or another --baseline"
        )
    return found


def _groups(comparison: Comparison, metric: str) -> Sequence[Sequence[Row]]:
    """Rows over all segments stand for the load; those of one segment only where they have to."""
    over = [group for group in comparison.segments if any(row.name == metric for row in group)]
    return over or comparison.groups


def _of_group(group: Sequence[Row], gate: Gate, baseline: str) -> Iterator[Verdict]:
    entries = {row.entry.level: row.entry for row in group}
    rows = {row.entry.level: row for row in group if row.name == gate.metric}
    for level, entry in entries.items():
        if level != baseline and baseline in entries:
            yield Verdict(gate, entry, baseline, rows.get(level), rows.get(baseline))


def _value(row: Row | None) -> float | None:
    return None if row is None else row.estimate.value


def _over(ours: float, base: float) -> float:
    return ours / base if base else math.inf if ours else 1.0


def _change(ratio: float | None) -> float | None:
    """None also if it is infinite, which JSON cannot say."""
    return ratio - 1 if ratio is not None and math.isfinite(ratio) else None
