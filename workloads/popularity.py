"""Distribution of requests over functions, by the name in a catalogue entry.

``shares(n)`` returns the functions' shares of all requests, most popular first, with sum 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat

from .errors import WorkloadError
from .trace import Workload

Shares = np.ndarray[Any, np.dtype[np.float64]]


class Popularity(BaseModel, ABC):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @abstractmethod
    def shares(self, functions: int) -> Shares: ...


class Uniform(Popularity):
    """All functions equal."""

    kind: Literal["uniform"] = "uniform"

    def shares(self, functions: int) -> Shares:
        return np.full(functions, 1 / functions)


class Zipf(Popularity):
    """The i-th function is proportional to i^-exponent."""

    kind: Literal["zipf"] = "zipf"
    exponent: NonNegativeFloat = 1.0

    def shares(self, functions: int) -> Shares:
        weights = np.arange(1, functions + 1) ** -self.exponent
        return np.asarray(weights / weights.sum())


class Hot(Popularity):
    """The first function has ``share`` of all requests; the others are equal."""

    kind: Literal["hot"] = "hot"
    share: Annotated[float, Field(gt=0, le=1)] = 1.0

    def shares(self, functions: int) -> Shares:
        others = (1 - self.share) / max(functions - 1, 1)
        found = np.full(functions, others)
        found[0] = 1 - others * (functions - 1)
        return found


class Power(Popularity):
    """S-LoRA's power law (Sheng et al., MLSys 2024, section 7; its load generator draws the
    function's index from a power distribution): the first k of n functions have a share of 1 - (1 -
    k/n)^alpha; alpha 1 is uniform, below 1 is skewed."""

    kind: Literal["power"] = "power"
    alpha: PositiveFloat = 1.0

    def shares(self, functions: int) -> Shares:
        edges = np.linspace(0.0, 1.0, functions + 1) ** self.alpha
        return np.sort(np.diff(edges))[::-1]


class Traced(Popularity):
    """Counted weights in any order, as many as functions."""

    kind: Literal["traced"] = "traced"
    weights: tuple[NonNegativeFloat, ...] = Field(min_length=1)

    @classmethod
    def of(cls, workload: Workload) -> Traced:
        """Return the shares of a workload's functions."""
        counts = workload.requests["function"].value_counts().to_pylist()
        return cls(weights=tuple(sorted((float(c["counts"]) for c in counts), reverse=True)))

    def shares(self, functions: int) -> Shares:
        if len(self.weights) != functions or not sum(self.weights):
            raise WorkloadError(
                f"traced popularity has {len(self.weights)}, not {functions} weights"
            )
        weights = np.sort(self.weights)[::-1]
        return np.asarray(weights / weights.sum())


LAWS: Mapping[str, type[Popularity]] = {
    "uniform": Uniform,
    "zipf": Zipf,
    "hot": Hot,
    "power": Power,
    "traced": Traced,
}


def popularity(about: Mapping[str, Any]) -> Popularity:
    """Build the distribution of a table such as ``{kind = "zipf", exponent = 0.9}``."""
    kind = str(about.get("kind"))
    if kind not in LAWS:
        raise WorkloadError(f"popularity {kind!r} is unknown; known: {', '.join(LAWS)}")
    return LAWS[kind].model_validate(about)
