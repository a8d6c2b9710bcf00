"""The table of ``slbench capacity``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .grid import MISSING
from .numbers import shown, unit_of

if TYPE_CHECKING:
    from rich.table import Table

    from ..capacity import Capacity


def capacity_table(found: Sequence[Capacity], goals: Sequence[str]) -> Table:
    """One row per system and workload: the bracket in requests/s and as a factor of the
    experiment's load, its interval, the cost at the highest load that passed."""
    from rich.table import Table

    workloads = list(dict.fromkeys(each.subject.workload.label for each in found))
    of = f" under {workloads[0]}" if len(workloads) == 1 else ""
    table = Table(title=f"highest load with {' and '.join(goals)}{of}")
    table.add_column("", overflow="fold")
    table.add_column("requests/s", justify="right", no_wrap=True)
    table.add_column("load", justify="right", no_wrap=True)
    table.add_column("load, 95 %", justify="right", no_wrap=True)
    table.add_column(f"1,000 requests, {unit_of('$')}", justify="right")
    for each in found:
        name = each.subject.system.label if of else each.subject.title
        table.add_row(name, *_row(each))
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
    ends = each.bracket.feasible_max, each.bracket.infeasible_min
    return (
        *("none" if each.best is None else _between(*pair) for pair in (rates, ends)),
        _between(*each.interval),
        MISSING if cost is None else shown(cost, None, "$"),
    )


def _between(low: float | None, high: float | None) -> str:
    """Format the highest load that passed and the lowest that failed."""
    if low is None:
        return MISSING if high is None else f"< {high:.3g}"
    return f"≥ {low:.3g}" if high is None else f"{low:.3g}–{high:.3g}"
