"""Our results for the paper's main evaluation and ablation, from the segments of the reference run.

A value is the mean over the segments, with its interval over them. Comparisons are paired by
segment, since every system received the same requests in a segment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..records.segments import ALL, segments
from ..stats import Interval, student_interval, student_ratio_interval
from .best import Best, percent, times
from .claim import Ours

if TYPE_CHECKING:
    from ..records import Run

OURS, NO_SHARING = "serverless-lora", "serverless-lora-no-sharing"
BASELINES = ("serverless-llm", "instainfer")
ABLATION = "azure-normal8"
TTFT_OVER = {"serverless-llm": "ttft-serverlessllm", "instainfer": "ttft-instainfer"}
EFFECTIVENESS_OVER = {"instainfer": "ce-instainfer", "serverless-llm": "ce-serverlessllm"}
"""Claims by the baseline that they compare with."""
_TTFT, _E2E, _COST = "ttft_from_schedule_s", "e2e_s", "cost_usd"


class Evaluation:
    """Computes every number that a claim takes from the evaluation."""

    def __init__(self, run: Run) -> None:
        frame = segments(run)
        frame = frame[frame["at"].isna()].sort_values("segment")
        keys = ["system", "workload", "backbone", "metric"]
        self._values: dict[tuple[Any, ...], list[float]] = {
            key: part["value"].tolist() for key, part in frame.groupby(keys)
        }
        self.workloads = sorted(set(frame["workload"]))
        self.backbones = sorted(set(frame["backbone"]) - {ALL})
        about = run.cells()[0].manifest
        self.mode = about.mode
        count = frame["segment"].nunique()
        self.ground = f"{count} segments, {ground(about.profile)}"

    def measures(self) -> Mapping[str, Callable[[], Ours]]:
        """Return how each claim is measured, by its id."""
        found: dict[str, Callable[[], Ours]] = {
            "ttft-headline": self.ttft_gain,
            "cost-headline": self.cost_gain,
            "slo-worst": self.violations,
            "tpot-penalty": self.tpot_penalty,
            "ablation-full": self.ablation_full,
            "ablation-no-sharing": self.ablation_no_sharing,
        }
        for each in BASELINES:
            found[TTFT_OVER[each]] = partial(self.ttft_over, each)
            found[EFFECTIVENESS_OVER[each]] = partial(self.effectiveness_over, each)
        return found

    def ttft_gain(self) -> Ours:
        best = max((self._largest(b, OURS, _TTFT) for b in BASELINES), key=_ratio)
        return self._told(best.reduction(), percent)

    def ttft_over(self, baseline: str) -> Ours:
        return self._told(self._largest(baseline, OURS, _TTFT), times)

    def cost_gain(self) -> Ours:
        found = (self._largest(b, OURS, _COST, per_backbone=False) for b in BASELINES)
        return self._told(max(found, key=_ratio).reduction(), percent)

    def effectiveness_over(self, baseline: str) -> Ours:
        best = self._largest(OURS, baseline, "cost_effectiveness", per_backbone=False)
        return self._told(best, times)

    def violations(self) -> Ours:
        worst = [self._worst(system) for system in (OURS, *BASELINES)]
        means = tuple(float(np.mean(each)) for each in worst)
        shown = " / ".join(f"{100 * each:.0f}" for each in means) + " %"
        why = f"worst of pattern and backbone, {self.ground}"
        return Ours(means, shown, self.mode, why, student_interval(worst[0]), scale=100.0)

    def tpot_penalty(self) -> Ours:
        best = max((self._largest(OURS, b, "tpot_s") for b in BASELINES), key=_ratio)
        return self._told(best.increase(), percent)

    def ablation_full(self) -> Ours:
        values = [self._of(OURS, ABLATION, ALL, metric) for metric in (_TTFT, _E2E, _COST)]
        found = tuple(float(np.mean(each)) for each in values)
        shown = f"{1e3 * found[0]:,.0f} ms / {1e3 * found[1]:,.0f} ms / ${found[2]:.2f}"
        why = f"{pattern(ABLATION)}, {self.ground}"
        return Ours(found, shown, self.mode, why, student_interval(values[0]), scale=1e3)

    def ablation_no_sharing(self) -> Ours:
        found = [self._ratio(NO_SHARING, OURS, ABLATION, ALL, m) for m in (_TTFT, _E2E, _COST)]
        shown = " / ".join(times(ratio) for ratio, _ in found)
        why = f"{pattern(ABLATION)}, {self.ground}"
        return Ours(tuple(ratio for ratio, _ in found), shown, self.mode, why, found[0][1])

    def _worst(self, system: str) -> list[float]:
        """Violation rates by segment, for the pattern and backbone with the highest mean."""
        found = (
            self._of(system, workload, backbone, "slo_violation_rate")
            for workload in self.workloads
            for backbone in self.backbones
        )
        return max(found, key=lambda values: float(np.mean(values)))

    def _largest(self, top: str, bottom: str, metric: str, *, per_backbone: bool = True) -> Best:
        """Find the pattern and backbone with the largest ratio of means."""
        other = top if bottom == OURS else bottom
        found = []
        for workload in self.workloads:
            for backbone in self.backbones if per_backbone else (ALL,):
                where = ", ".join(filter(None, (pattern(workload), backbone, f"against {other}")))
                found.append(Best(*self._ratio(top, bottom, workload, backbone, metric), where))
        return max(found, key=_ratio)

    def _ratio(
        self, top: str, bottom: str, workload: str, backbone: str, metric: str
    ) -> tuple[float, Interval | None]:
        tops, bottoms = (self._of(system, workload, backbone, metric) for system in (top, bottom))
        return float(np.mean(tops) / np.mean(bottoms)), student_ratio_interval(tops, bottoms)

    def _of(self, system: str, workload: str, backbone: str, metric: str) -> list[float]:
        """Return the values by segment, in order."""
        return self._values[system, workload, backbone, metric]

    def _told(self, best: Best, show: Callable[[float], str]) -> Ours:
        return best.told(show, self.mode, self.ground)


def ground(profile: Mapping[str, Any] | None) -> str:
    """Describe the basis of a number: the profile of its simulation, or (None) this machine."""
    return f"profile {profile['name']}" if profile else "this machine"


def _ratio(best: Best) -> float:
    return best.ratio


def pattern(workload: str) -> str:
    """Return the pattern of a workload: ``azure-normal8`` is "normal"."""
    return workload.removeprefix("azure-").rstrip("0123456789")
