"""Lengths of prompts and outputs, independent of the arrivals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from .errors import WorkloadError
from .streams import stream
from .trace import Workload

COLUMNS = ("prompt_tokens", "output_tokens")
MISSING = "lengths-missing"
"""Provenance step after which lengths are placeholders, because the source has none."""


_FITTED = (0.0, 1.0, 5.0, *map(float, range(10, 100, 10)), 95.0, 98.0, 99.0, 99.5, 99.9, 100.0)
"""Percentiles of a fit: close to each other in the tail, which has much of the mean."""


class Lengths(BaseModel, ABC):
    """A distribution of token counts, clipped to [low, high], rounded; ``source``: its origin."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    low: PositiveInt = 1
    high: Annotated[PositiveInt, Field(lt=2**31)] = 1_000_000
    source: str = ""

    def draw(self, random: np.random.Generator, count: int) -> np.ndarray[Any, Any]:
        values = np.rint(self._values(random, count))
        return np.asarray(np.clip(values, self.low, self.high), dtype=np.int32)

    @abstractmethod
    def _values(self, random: np.random.Generator, count: int) -> np.ndarray[Any, Any]: ...


class LogNormal(Lengths):
    """exp N(log median, sigma²)."""

    kind: Literal["log-normal"] = "log-normal"
    median: PositiveFloat
    sigma: float

    def _values(self, random: np.random.Generator, count: int) -> np.ndarray[Any, Any]:
        return np.asarray(self.median * np.exp(self.sigma * random.standard_normal(count)))


class Percentiles(Lengths):
    """Given by percentiles, ``percent`` from 0 to 100 and ``tokens`` at each, log-linear in
    between. For multimodal distributions, such as outputs of real services."""

    kind: Literal["percentiles"] = "percentiles"
    percent: tuple[float, ...]
    tokens: tuple[PositiveFloat, ...]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        steps = np.diff(self.percent)
        if len(self.percent) != len(self.tokens) or len(steps) < 1 or not (steps > 0).all():
            raise ValueError(
                "percentiles: needs as many tokens as increasing percents, at least two"
            )
        if self.percent[0] != 0 or self.percent[-1] != 100 or (np.diff(self.tokens) < 0).any():
            raise ValueError("percentiles: needs 0 to 100 percent, and tokens that do not decrease")
        return self

    @classmethod
    def of(cls, tokens: np.ndarray[Any, Any], source: str) -> Percentiles:
        """Fit to token counts."""
        found = tuple(round(float(t), 1) for t in np.percentile(tokens, _FITTED))
        return cls(percent=_FITTED, tokens=found, high=int(max(tokens)), source=source)

    def _values(self, random: np.random.Generator, count: int) -> np.ndarray[Any, Any]:
        at = random.uniform(0, 100, count)
        return np.asarray(np.exp(np.interp(at, self.percent, np.log(self.tokens))))


KINDS: Mapping[str, type[Lengths]] = {"log-normal": LogNormal, "percentiles": Percentiles}


def lengths(about: Mapping[str, Any]) -> Lengths:
    """Build a distribution from a table: ``{kind = "log-normal", median = 64, sigma = 0.5}``."""
    kind = about.get("kind", "log-normal")
    if kind not in KINDS:
        raise WorkloadError(f"lengths {kind!r} are unknown; known: {', '.join(KINDS)}")
    return KINDS[kind].model_validate(about)


def lacks_lengths(workload: Workload) -> bool:
    """Whether the lengths are still placeholders."""
    steps = [step.name for step in workload.provenance.transforms]
    return MISSING in steps and not {"lengths", "lengths-of"} & set(steps)


def with_lengths(workload: Workload, seed: int, prompt: Lengths, output: Lengths) -> Workload:
    """Draw lengths for the same arrivals; each function has its own random streams."""
    drawn = {name: np.ones(len(workload), dtype=np.int32) for name in COLUMNS}
    for function, rows in workload.rows().items():
        for name, model in zip(COLUMNS, (prompt, output), strict=True):
            drawn[name][rows] = model.draw(stream(seed, function, name), len(rows))
    provenance = workload.provenance.then(
        "lengths", seed=seed, prompt=prompt.model_dump(), output=output.model_dump()
    )
    return workload.with_columns(provenance, **drawn)


def with_lengths_of(workload: Workload, source: Workload, *, seed: int) -> Workload:
    """Draw lengths for the same arrivals from ``source``: pairs of prompt and output together, with
    replacement; each function has its own random stream."""
    chosen = np.zeros(len(workload), dtype=np.int64)
    for function, rows in workload.rows().items():
        draws = stream(seed, function, "pairs")
        chosen[rows] = draws.integers(len(source), size=len(rows))
    provenance = workload.provenance.then(
        "lengths-of", seed=seed, source=source.provenance.model_dump()
    ).model_copy(update={"kind": "composed"})
    pairs = {name: source.requests[name].to_numpy()[chosen] for name in COLUMNS}
    return workload.with_columns(provenance, **pairs)
