"""One number of a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..metrics import Metric
from ..stats import Estimate
from .match import Matched


@dataclass(frozen=True, slots=True)
class Row:
    """``part``: mean, a percentile, or value. ``ratio`` is None for the baseline itself."""

    entry: Matched
    metric: Metric
    part: str
    estimate: Estimate
    ratio: Estimate | None

    @property
    def name(self) -> str:
        """For example ``ttft_s.p95`` or ``goodput_rps``."""
        return self.metric.name if self.part == "value" else f"{self.metric.name}.{self.part}"

    def as_dict(self) -> dict[str, Any]:
        ratio = self.ratio or Estimate(None, 0)
        return {
            "system": self.entry.system,
            "workload": self.entry.workload,
            "level": self.entry.level,
            "metric": self.name,
            "unit": self.metric.unit,
            "value": self.estimate.value,
            "n": self.estimate.n,
            "ci95": self.estimate.ci95 and list(self.estimate.ci95),
            "cells": len(self.entry.cells),
            "cells_again": len(self.entry.again),
            "ratio": ratio.value,
            "ratio_ci95": ratio.ci95 and list(ratio.ci95),
            "mode": self.entry.cells[0].manifest.mode,
            "valid": self.entry.valid,
        }
