"""A goal: a metric within a limit, written ``ttft_s.p95 <= 0.5`` or ``slo_attainment >= 0.99``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ..errors import HarnessError
from ..metrics import METRICS, Metric
from ..metrics.latency import LATENCY
from ..metrics.observation import VALUE
from ..metrics.summary import BY_DEVICE
from ..stats import QUANTILES, Estimate, Interval

_FORM = re.compile(r"\s*([a-z0-9_.]+)\s*(<=|>=)\s*(\S+)\s*")
_PARTS = ("mean", *QUANTILES)
_SIGNS = {"lower": "<=", "higher": ">="}
_SHARE = "1"
"""The unit of shares."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a goal fared at one load. ``value`` and ``ci95`` (95 %): in the metric's unit; None if
    too few requests were answered, or the system does not report it."""

    goal: str
    value: float | None
    ci95: Interval | None
    met: bool | None
    """None: the value is not known."""
    surely: bool | None
    """Whether the whole interval meets the goal (True) or misses it (False); None: it straddles
    the limit, or there is none."""


@dataclass(frozen=True, slots=True)
class Goal:
    """``metric``'s ``part`` (a percentile, ``mean``, or ``value`` of a scalar) within ``limit``, in
    the metric's unit."""

    metric: Metric
    part: str
    limit: float

    def __str__(self) -> str:
        part = "" if self.part == VALUE else f".{self.part}"
        return f"{self.metric.name}{part} {_SIGNS[self.metric.better]} {self.limit:g}"

    def judge(self, estimate: Estimate) -> Verdict:
        """Judge the value and its interval."""
        value, ci95 = estimate.value, estimate.ci95
        met = None if value is None else self._within(value)
        ends = None if ci95 is None else {self._within(end) for end in ci95}
        surely = ends.pop() if ends is not None and len(ends) == 1 else None
        return Verdict(str(self), value, ci95, met, surely)

    def _within(self, value: float) -> bool:
        return value <= self.limit if self.metric.better == "lower" else value >= self.limit


def parse_goal(text: str) -> Goal:
    """Parse a goal. Raise ``HarnessError``, in one line that names what is known."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise HarnessError(
            f"--goal {text!r}: write METRIC.PART <= NUMBER or METRIC >= NUMBER, such as"
            " 'ttft_s.p95 <= 0.5' or 'slo_attainment >= 0.99'"
        )
    name, sign, number = found.groups()
    metric, part = _named(text, name)
    if sign != _SIGNS[metric.better]:
        raise HarnessError(
            f"--goal {text!r}: {metric.better} is better for {metric.name}, write"
            f" {_SIGNS[metric.better]}"
        )
    return Goal(metric, part, _limit(text, number, metric))


def _named(text: str, name: str) -> tuple[Metric, str]:
    scalars = {each.name: each for each in METRICS if each not in LATENCY and _can_be_goal(each)}
    if name in scalars:
        return scalars[name], VALUE
    samples = {each.name: each for each in LATENCY}
    known, _, part = name.rpartition(".")
    if known in samples and part in _PARTS:
        return samples[known], part
    if name in samples or known in samples:
        raise HarnessError(
            f"--goal {text!r}: {name if name in samples else known} has the parts"
            f" {', '.join(_PARTS)}; write one after a point"
        )
    every = ", ".join([*(f"{each}.PART" for each in samples), *scalars])
    raise HarnessError(f"--goal {text!r}: metric {name!r} is unknown; known: {every}")


def _can_be_goal(metric: Metric) -> bool:
    """Whether one number per cell is better the lower or the higher it is."""
    return metric.better in _SIGNS and metric.name not in BY_DEVICE


def _limit(text: str, number: str, metric: Metric) -> float:
    """Read the limit. One that no value can be on both sides of is a mistake: percent, a sign."""
    limit, most = _number(text, number), 1.0 if metric.unit == _SHARE else math.inf
    if not 0 <= limit <= most:
        wanted = "is a share, from 0 to 1" if metric.unit == _SHARE else "is 0 or more"
        raise HarnessError(f"--goal {text!r}: {metric.name} {wanted}, not {number}")
    return limit


def _number(text: str, number: str) -> float:
    try:
        limit = float(number)
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit):
        raise HarnessError(f"--goal {text!r}: {number!r} is not a number in the metric's unit")
    return limit
