"""The condition in which a ratio is largest, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from ..stats import Interval
from .claim import Ours


@dataclass(frozen=True)
class Best:
    """The condition with the largest ratio of means, and the interval there. The interval does not
    account for the choice of the largest of several."""

    ratio: float
    ci95: Interval | None
    where: str

    @classmethod
    def of(cls, row: Mapping[Any, Any], where: str) -> Self:
        """Make it of a row of numbers with ``value``, ``low`` and ``high``."""
        import pandas as pd

        ends = None if pd.isna(row["low"]) else (float(row["low"]), float(row["high"]))
        return cls(float(row["value"]), ends, where)

    def inverse(self) -> Best:
        """Return 1/ratio."""
        ends = self.ci95 and (1 / self.ci95[1], 1 / self.ci95[0])
        return replace(self, ratio=1 / self.ratio, ci95=ends)

    def reduction(self) -> Best:
        """Return 1 − 1/ratio."""
        ends = self.ci95 and (1 - 1 / self.ci95[0], 1 - 1 / self.ci95[1])
        return replace(self, ratio=1 - 1 / self.ratio, ci95=ends)

    def increase(self) -> Best:
        """Return ratio − 1."""
        ends = self.ci95 and (self.ci95[0] - 1, self.ci95[1] - 1)
        return replace(self, ratio=self.ratio - 1, ci95=ends)

    def told(
        self,
        show: Callable[[float], str],
        mode: Literal["live", "simulated"],
        ground: str,
        on: str = "",
    ) -> Ours:
        """Return it as our result, with its basis and what it was measured on."""
        scale = 100.0 if show is percent else 1.0
        why = f"{self.where}, {ground}"
        return Ours((self.ratio,), show(self.ratio), mode, why, self.ci95, scale, on)


def percent(value: float) -> str:
    """One decimal beside 100 %, which few values reach."""
    return f"{100 * value:.{1 if 0.99 < value < 1 else 0}f} %"


def times(value: float) -> str:
    return f"{value:.2f}×"
