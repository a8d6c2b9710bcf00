"""Our results from one record of cards, live or simulated: its systems, on its cards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from ..comparison import Row, compare, metrics_of
from .best import Best, percent, times
from .claim import Ours
from .evaluation import BASELINES, EFFECTIVENESS_OVER, TTFT_OVER, ground

if TYPE_CHECKING:
    from ..records import Run

_TTFT, _TPOT, _COST = "ttft_from_schedule_s.mean", "tpot_s.mean", "cost_usd"
_WORTH, _MISSED = "cost_effectiveness", "slo_violation_rate"
_Rows = Mapping[tuple[str, str, str], Row]
"""By workload, system and name."""


class Live:
    """Computes the numbers of claims from a run of ``ours`` and ``baselines``."""

    def __init__(self, run: Run, ours: str, baselines: tuple[str, ...]) -> None:
        cells = [cell for cell in run.cells() if cell.system in {ours, *baselines}]
        self._ours, self._baselines = ours, baselines
        wanted = metrics_of((_TTFT, _TPOT, _COST, _WORTH, _MISSED))
        self._against: dict[str, _Rows] = {
            each: {
                (row.entry.workload, row.entry.system, row.name): row
                for group in compare(cells, each, strict=False, metrics=wanted).groups
                for row in group
            }
            for each in baselines
        }
        about = cells[0].manifest
        self._mode, self._on = about.mode, about.gpus
        basis = f", {ground(about.profile)}" if about.profile else ""
        self._ground = f"record {run.path.name}{basis}"

    def measures(self) -> Mapping[str, Callable[[], Ours]]:
        """Return how each claim is measured, by its id."""
        found: dict[str, Callable[[], Ours]] = {
            "ttft-headline": partial(self._gain, _TTFT),
            "cost-headline": partial(self._gain, _COST),
            "tpot-penalty": self._tpot_penalty,
            "slo-worst": self._violations,
        }
        for each in (b for b in self._baselines if b in TTFT_OVER):
            found[TTFT_OVER[each]] = partial(self._over, each, _TTFT)
            found[EFFECTIVENESS_OVER[each]] = partial(self._under, each, _WORTH)
        return found

    def _gain(self, metric: str) -> Ours:
        best = max((self._best(each, metric).inverse() for each in self._baselines), key=_ratio)
        return self._told(best.reduction(), percent)

    def _over(self, baseline: str, metric: str) -> Ours:
        return self._told(self._best(baseline, metric).inverse(), times)

    def _under(self, baseline: str, metric: str) -> Ours:
        return self._told(self._best(baseline, metric, largest=True), times)

    def _tpot_penalty(self) -> Ours:
        found = (self._best(each, _TPOT, largest=True) for each in self._baselines)
        return self._told(max(found, key=_ratio).increase(), percent)

    def _violations(self) -> Ours:
        systems = (self._ours, *(each for each in BASELINES if each in self._baselines))
        rows = next(iter(self._against.values()))
        found = [
            max((row for key, row in rows.items() if key[1:] == (system, _MISSED)), key=_value)
            for system in systems
        ]
        values = tuple(map(_value, found))
        shown = " / ".join(f"{100 * each:.0f}" for each in values) + " %"
        why = f"{found[0].entry.workload}, {self._ground}"
        return Ours(values, shown, self._mode, why, found[0].estimate.ci95, 100.0, self._on)

    def _best(self, baseline: str, metric: str, *, largest: bool = False) -> Best:
        """Find the load with the smallest, or largest, ratio of our system to ``baseline``."""
        found = []
        for (workload, system, name), row in self._against[baseline].items():
            if (system, name) == (self._ours, metric) and row.ratio and row.ratio.value:
                where = f"{workload}, {system} against {baseline}"
                found.append(Best(row.ratio.value, row.ratio.ci95, where))
        return (max if largest else min)(found, key=_ratio)

    def _told(self, best: Best, show: Callable[[float], str]) -> Ours:
        return best.told(show, self._mode, self._ground, self._on)


def _ratio(best: Best) -> float:
    return best.ratio


def _value(row: Row) -> float:
    assert row.estimate.value is not None, "the systems of a record tell their violations"
    return row.estimate.value
