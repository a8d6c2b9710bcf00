"""Clusters that begin as at any other time."""

from __future__ import annotations

from typing import Literal

import numpy as np

from .clusters import Clusters


class StationaryClusters(Clusters):
    """As ``clusters``, whose first gap is drawn as any other. An arbitrary time is within a gap the
    more often the longer it is, so the first is drawn here with a probability proportional to its
    length (the equilibrium renewal process): a load does not begin with a burst."""

    kind: Literal["stationary-clusters"] = "stationary-clusters"  # type: ignore[assignment]

    def _first_gap(self, random: np.random.Generator, gap_s: float) -> float:
        if self.period_cv == 0:
            return super()._first_gap(random, gap_s)
        shape = self.period_cv**-2
        return super()._first_gap(random, random.gamma(shape + 1, self.period_s / shape))
