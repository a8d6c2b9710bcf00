"""The stored numbers of a sweep's costs: what the same usage costs under several accountings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..cost import Accounting, Usage
from ..stats import Interval, student_interval, student_ratio_interval
from .numbers import ratio_of

if TYPE_CHECKING:
    from ..records import Cell

COST, EFFECTIVENESS = "cost_usd", "cost_effectiveness"


class Spent(NamedTuple):
    """What a segment cost in dollars, and the mean E2E latency of its answers in seconds."""

    usd: float
    e2e_s: float


def under(metric: str, accounting: str) -> str:
    """Name the rows of ``metric`` under an accounting."""
    return f"{metric}.{accounting}"


def accounted(
    study: str,
    value: float,
    cells: Sequence[Cell],
    baseline: str,
    accountings: Sequence[Accounting],
) -> Iterator[dict[str, Any]]:
    """Yield, per system, workload and accounting, the mean cost of a segment; and, beside
    ``baseline``, ratios of ``cost_usd`` and ``cost_effectiveness``, as :func:`ratio_of` names them:
    of the system to the baseline. Intervals are over the segments, paired."""
    spent = _spent(cells, accountings) if accountings else {}
    for (system, workload, name), segments in spent.items():
        about = {"study": study, "at": value, "system": system, "workload": workload}
        usd = [each.usd for each in segments]
        own = float(np.mean(usd)), student_interval(usd)
        yield {**about, **_row(under(COST, name), "$", own, len(usd))}
        if system != baseline:
            base = spent[baseline, workload, name]
            for metric, ratio in _ratios(segments, base).items():
                yield {**about, **_row(ratio_of(under(metric, name)), "×", ratio, len(usd))}


def _spent(
    cells: Sequence[Cell], accountings: Sequence[Accounting]
) -> dict[tuple[str, str, str], list[Spent]]:
    """Return the segments' costs in order of seed, by system, workload and accounting."""
    found: dict[tuple[str, str, str], list[Spent]] = defaultdict(list)
    for cell in sorted(cells, key=lambda each: (each.manifest.seed, each.manifest.repeat)):
        usage, e2e_s = Usage.of(cell), float(cell.answered["e2e_s"].mean())
        for each in accountings:
            found[cell.system, cell.workload, each.name].append(Spent(each.usd(usage), e2e_s))
    return found


def _ratios(
    segments: Sequence[Spent], base: Sequence[Spent]
) -> dict[str, tuple[float, Interval | None]]:
    both = (segments, base)
    costs = [[each.usd for each in own] for own in both]
    worths = [[1 / (each.usd * each.e2e_s) for each in own] for own in both]
    return {
        metric: (float(np.mean(top) / np.mean(bottom)), student_ratio_interval(top, bottom))
        for metric, (top, bottom) in ((COST, costs), (EFFECTIVENESS, worths))
    }


def _row(metric: str, unit: str, estimate: tuple[float, Interval | None], n: int) -> dict[str, Any]:
    low, high = estimate[1] or (None, None)
    return {
        "metric": metric, "unit": unit, "value": estimate[0], "low": low, "high": high, "n": n,
    }  # fmt: skip
