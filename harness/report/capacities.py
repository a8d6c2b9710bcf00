"""The table of ``slbench capacity``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .numbers import shown, unit_of
from .table import MISSING

if TYPE_CHECKING:
    from rich.table import Table

    from ..capacity import Capacity


def capacity_table(found: Sequence[Capacity], goals: Sequence[str]) -> Table:
    """One row per system and workload: the bracket in requests/s and as a factor of the
    experiment's load, its interval, the cost at the highest load that passed."""
    from rich.table import Table

    table = Table(title=f"highest load with {' and '.join(goals)}")
    table.add_column("", no_wrap=True)
    table.add_column("requests/s", justify="right")
    table.add_column("load", justify="right")
    table.add_column("95 %", justify="right")
    table.add_column(f"cost of 1,000 requests, {unit_of('$')}", justify="right")
    for each in found:
        table.add_row(each.subject.title, *_row(each))
    return table


def capacity_lines(found: Sequence[Capacity]) -> list[str]:
    """One line per system and workload: what bound its load, and what is unusual."""
    return [f"{each.subject.title}: {'; '.join(_said(each))}" for each in found]


def _said(each: Capacity) -> list[str]:
    bound = each.bound
    failed = [f"at load {bound.load:g} fails {'; '.join(bound.bound_by)}"] if bound else []
    return [*failed, *([each.why] if each.why else [])]


def _row(each: Capacity) -> tuple[str, ...]:
    rates = [None if point is None else point.requests_per_s for point in (each.best, each.bound)]
    cost = None if each.best is None else each.best.usd_per_1k_requests
    return (
        _between(*rates),
        _between(each.bracket.feasible_max, each.bracket.infeasible_min),
        _between(*each.interval),
        MISSING if cost is None else shown(cost, None, "$"),
    )


def _between(low: float | None, high: float | None) -> str:
    """``low`` passed, ``high`` failed."""
    if low is None and high is None:
        return MISSING
    return " to ".join(MISSING if end is None else f"{end:.3g}" for end in (low, high))
