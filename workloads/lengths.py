"""How long prompts and answers are, apart from when they arrive."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt

from .streams import stream
from .trace import SCHEMA, Workload


class LogNormal(BaseModel):
    """exp N(log median, sigma²), cut to [low, high] and rounded. ``source`` says whence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    median: PositiveFloat
    sigma: float
    low: PositiveInt = 1
    high: PositiveInt = 1_000_000
    source: str = ""

    def draw(self, random: np.random.Generator, count: int) -> np.ndarray[Any, Any]:
        values = self.median * np.exp(self.sigma * random.standard_normal(count))
        return np.clip(np.rint(values), self.low, self.high).astype(np.int32)


Column = Literal["prompt_tokens", "output_tokens"]


def with_lengths(workload: Workload, seed: int, prompt: LogNormal, output: LogNormal) -> Workload:
    """The same arrivals with lengths drawn for each function from a stream of its own."""
    table = workload.requests
    for column, model in (("prompt_tokens", prompt), ("output_tokens", output)):
        table = table.set_column(
            table.schema.get_field_index(column),
            SCHEMA.field(column),
            pa.array(_draw(workload, seed, column, model), type=pa.int32()),
        )
    return replace(
        workload,
        requests=table,
        provenance=workload.provenance.then(
            "lengths", seed=seed, prompt=prompt.model_dump(), output=output.model_dump()
        ),
    )


def _draw(workload: Workload, seed: int, column: str, model: LogNormal) -> np.ndarray[Any, Any]:
    owners = np.asarray(workload.requests["function"].to_pylist())
    values = np.zeros(len(owners), dtype=np.int32)
    for function in workload.functions:
        mine = owners == function.id
        random = stream(seed, function.id, column)
        values[mine] = model.draw(random, int(mine.sum()))
    return values
