"""Generates workloads from processes: one per function, or one for a whole population."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from .errors import WorkloadError
from .generators import Process, process
from .popularity import popularity
from .streams import stream
from .trace import Counts, Provenance, TraceFunction, Workload, from_arrivals, whole_ns

MOST_FUNCTIONS = 1_000_000
MOST_REQUESTS = 100_000_000
"""Limit of the expected requests of a workload; generating them takes some gigabytes. Without it, a
mistyped number could exhaust the machine's memory."""


class Churn(BaseModel):
    """Replacement of adapters: every ``every_s``, each function is retired with probability
    ``fraction``, and a new one takes its rank in the order of popularity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    every_s: PositiveFloat
    fraction: Annotated[float, Field(gt=0, le=1)]


class Population(BaseModel):
    """Many similar functions: ``process`` without its rate, which is ``rate_rps`` times the
    function's share. ``churn``: None means no replacement."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    functions: Annotated[PositiveInt, Field(le=MOST_FUNCTIONS)]
    rate_rps: PositiveFloat
    popularity: Mapping[str, Any]
    process: Mapping[str, Any]
    churn: Churn | None = None


def generate(
    name: str,
    processes: Mapping[str, Process],
    functions: Sequence[TraceFunction],
    *,
    seed: int,
    duration_s: float,
    source: str,
) -> Workload:
    """Generate independent functions; adding one does not change the others' arrivals. Raises
    ``WorkloadError`` for more than ``MOST_REQUESTS`` requests."""
    _check_size(sum(processes[f.id].mean_rate_rps for f in functions), duration_s)
    arrivals = {
        function.id: _arrivals(processes[function.id], seed, function.id, duration_s)
        for function in functions
    }
    provenance = Provenance(kind="synthetic", source=source).then(
        "generate",
        seed=seed,
        duration_s=duration_s,
        processes={f.id: processes[f.id].model_dump() for f in functions},
    )
    return from_arrivals(name, functions, arrivals, provenance, round(duration_s * 1e9))


def populate(
    name: str, about: Population, *, seed: int, duration_s: float, source: str
) -> Workload:
    """Generate a population's workload. Functions are named by rank, f0 is the most popular; with
    churn f0-1 replaces f0. Raises ``WorkloadError`` for more than ``MOST_REQUESTS`` requests."""
    _check_size(about.rate_rps, duration_s)
    arrivals: dict[str, Counts] = {}
    for rank, share in enumerate(popularity(about.popularity).shares(about.functions)):
        if share > 0:
            shape = process({**about.process, "rate_rps": about.rate_rps * share})
            times = _arrivals(shape, seed, f"f{rank}", duration_s)
            arrivals |= _generations(f"f{rank}", times, about.churn, seed, duration_s)
    provenance = Provenance(kind="synthetic", source=source).then(
        "populate", seed=seed, duration_s=duration_s, **about.model_dump(exclude_none=True)
    )
    functions = [TraceFunction(id=function) for function in arrivals]
    return from_arrivals(name, functions, arrivals, provenance, round(duration_s * 1e9))


def _check_size(rate_rps: float, duration_s: float) -> None:
    requests = rate_rps * duration_s
    if not requests <= MOST_REQUESTS:
        raise WorkloadError(
            f"{rate_rps:g} requests/s for {duration_s:g} s are {requests:g} requests; a workload"
            f" has at most {MOST_REQUESTS:,}"
        )


def _arrivals(shape: Process, seed: int, function: str, duration_s: float) -> Counts:
    return whole_ns(shape.arrivals(stream(seed, function, "arrivals"), duration_s))


def _generations(
    place: str, times: Counts, churn: Churn | None, seed: int, duration_s: float
) -> dict[str, Counts]:
    """Split the arrivals at one rank by the function that has it."""
    if churn is None:
        return {place: times}
    rounds = int(np.ceil(duration_s / churn.every_s))
    replaced = stream(seed, place, "churn").uniform(size=rounds) < churn.fraction
    replaced[0] = False
    generation = np.cumsum(replaced)[(times / 1e9 // churn.every_s).astype(np.int64)]
    names = {0: place} | {g: f"{place}-{g}" for g in range(1, int(replaced.sum()) + 1)}
    return {name: times[generation == g] for g, name in names.items()}
