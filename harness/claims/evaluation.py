"""Ours of the paper's main evaluation and ablation: from the cells of the reference run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..stats import Interval, Series, mean_ratio_interval
from .claim import Ours

if TYPE_CHECKING:
    import pandas as pd

    from ..records import Run

OURS, NO_SHARING = "serverless-lora", "serverless-lora-no-sharing"
BASELINES = ("serverless-llm", "instainfer")
ABLATION = "azure-normal8"


@dataclass(frozen=True)
class Best:
    """The condition in which a ratio of means is largest, and its interval there: that it was
    picked as the largest of several is not allowed for."""

    ratio: float
    ci95: Interval | None
    where: str

    def inverse(self) -> tuple[float, Interval | None]:
        """As a reduction: 1 - 1/ratio."""
        ends = self.ci95 and (1 - 1 / self.ci95[0], 1 - 1 / self.ci95[1])
        return 1 - 1 / self.ratio, ends


class Evaluation:
    """Every number that a claim takes from the evaluation."""

    def __init__(self, run: Run) -> None:
        self._cells = {(cell.system, cell.workload): cell for cell in run.cells()}
        self.workloads = sorted({workload for _, workload in self._cells})
        cell = next(iter(self._cells.values()))
        self.mode = cell.manifest.mode
        self.ground = ground(cell.manifest.profile)

    def ttft_gain(self) -> Ours:
        best = max((self._ttft(each) for each in BASELINES), key=lambda found: found.ratio)
        value, ci95 = best.inverse()
        return self._ours(value, ci95, _percent, best.where)

    def ttft_over(self, baseline: str) -> Ours:
        best = self._ttft(baseline)
        return self._ours(best.ratio, best.ci95, _times, best.where)

    def cost_gain(self) -> Ours:
        value, where = max(
            (1 - self._cost(OURS, w) / self._cost(b, w), f"{_words(w)}, against {b}")
            for b in BASELINES
            for w in self.workloads
        )
        return self._ours(value, None, _percent, where)

    def effectiveness_over(self, baseline: str) -> Ours:
        value, where = max(
            (self._worth(OURS, w) / self._worth(baseline, w), _words(w)) for w in self.workloads
        )
        return self._ours(value, None, _times, where)

    def violations(self) -> Ours:
        worst = tuple(
            max(
                float(1 - part["slo_met"].mean())
                for w in self.workloads
                for _, part in self._by_backbone(name, w)
            )
            for name in (OURS, *BASELINES)
        )
        shown = " / ".join(f"{100 * each:.0f}" for each in worst) + " %"
        return Ours(worst, shown, self.mode, f"worst of pattern and backbone, {self.ground}")

    def tpot_penalty(self) -> Ours:
        best = max((self._largest(OURS, b, "tpot_s") for b in BASELINES), key=lambda f: f.ratio)
        ends = best.ci95 and (best.ci95[0] - 1, best.ci95[1] - 1)
        return self._ours(best.ratio - 1, ends, _percent, best.where)

    def ablation_full(self) -> Ours:
        found = self._ablation(OURS)
        shown = f"{1e3 * found[0]:,.0f} ms / {1e3 * found[1]:,.0f} ms / ${found[2]:.2f}"
        return Ours(found, shown, self.mode, f"{_words(ABLATION)}, {self.ground}")

    def ablation_no_sharing(self) -> Ours:
        full, without = self._ablation(OURS), self._ablation(NO_SHARING)
        ratios = tuple(mine / base for mine, base in zip(without, full, strict=True))
        ci95 = self._ratio(NO_SHARING, OURS, ABLATION, "ttft_from_schedule_s", None)[1]
        shown = " / ".join(_times(each) for each in ratios)
        return Ours(ratios, shown, self.mode, f"{_words(ABLATION)}, {self.ground}", ci95)

    def _ablation(self, system: str) -> tuple[float, float, float]:
        summary = self._cells[system, ABLATION].summary
        ttft, e2e = (summary[name]["mean"] for name in ("ttft_from_schedule_s", "e2e_s"))
        return ttft, e2e, self._cost(system, ABLATION)

    def _ttft(self, baseline: str) -> Best:
        return self._largest(baseline, OURS, "ttft_from_schedule_s")

    def _largest(self, top: str, bottom: str, column: str) -> Best:
        """Of pattern and backbone, the one with the largest ratio of means."""
        found = [
            Best(*self._ratio(top, bottom, w, column, backbone), f"{_words(w)}, {backbone}")
            for w in self.workloads
            for backbone, _ in self._by_backbone(top, w)
        ]
        best = max(found, key=lambda each: each.ratio)
        other = top if bottom == OURS else bottom
        return Best(best.ratio, best.ci95, f"{best.where}, against {other}")

    def _ratio(
        self, top: str, bottom: str, workload: str, column: str, backbone: str | None
    ) -> tuple[float, Interval | None]:
        series = []
        for system in (top, bottom):
            rows = self._cells[system, workload].requests
            kept = rows if backbone is None else rows[rows["backbone"] == backbone]
            values = kept.sort_values("scheduled_ns")[column].to_numpy(dtype=np.float64)
            series.append(Series.of(values))
        ratio = float(series[0].values.mean() / series[1].values.mean())
        paired = len(series[0]) == len(series[1])
        return ratio, mean_ratio_interval(series[0], series[1], paired=paired)

    def _by_backbone(self, system: str, workload: str) -> Iterator[tuple[str, pd.DataFrame]]:
        for backbone, part in self._cells[system, workload].requests.groupby("backbone"):
            yield str(backbone), part

    def _cost(self, system: str, workload: str) -> float:
        return float(self._cells[system, workload].summary["cost_usd"])

    def _worth(self, system: str, workload: str) -> float:
        return float(self._cells[system, workload].summary["cost_effectiveness"])

    def _ours(
        self, value: float, ci95: Interval | None, show: Callable[[float], str], where: str
    ) -> Ours:
        return Ours((value,), show(value), self.mode, f"{where}, {self.ground}", ci95)


def ground(profile: Mapping[str, Any] | None) -> str:
    """What a number stands on: the profile it was simulated by, or (None) a machine."""
    return f"profile {profile['name']}" if profile else "this machine"


def _words(workload: str) -> str:
    """``azure-normal8`` is the pattern normal."""
    return workload.removeprefix("azure-").rstrip("0123456789")


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _times(value: float) -> str:
    return f"{value:.2f}×"
