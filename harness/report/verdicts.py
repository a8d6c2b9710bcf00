"""The lines of ``slbench compare --fail-if``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .grid import MISSING
from .numbers import shown, unit_of

if TYPE_CHECKING:
    from ..comparison import Row, Verdict


def line(verdict: Verdict) -> str:
    """Format outcome, condition, system and workload, change with interval, and both values."""
    entry = verdict.entry
    where = ", ".join(dict.fromkeys((entry.system, entry.workload, entry.level)))
    values = f"{_value(verdict.ours)}, {verdict.baseline}: {_value(verdict.base)}"
    return f"{verdict.outcome}: {verdict.gate.text}: {where}: {_change(verdict)}{values}"


def _change(verdict: Verdict) -> str:
    if verdict.ratio is None:
        return ""
    ends = "no interval" if verdict.ci95 is None else " – ".join(map(_percent, verdict.ci95))
    return f"{_percent(verdict.ratio)} [{ends}]: "


def _percent(ratio: float) -> str:
    return f"{(ratio - 1) * 100:+.1f}%" if math.isfinite(ratio) else "∞"


def _value(row: Row | None) -> str:
    if row is None or row.estimate.value is None:
        return MISSING
    return f"{shown(row.estimate.value, None, row.metric.unit)} {unit_of(row.metric.unit)}"
