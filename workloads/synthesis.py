"""Workloads from processes: one given for each function, or one shape for a whole population."""

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
"""Of a workload, expected: some gigabytes while it is made. What a mistyped number asks for beyond
them would take the machine's memory before anything was refused."""


class Churn(BaseModel):
    """Adapters come and go: every ``every_s`` each function, with probability ``fraction``, is
    retired, and a new one takes its place in the order of popularity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    every_s: PositiveFloat
    fraction: Annotated[float, Field(gt=0, le=1)]


class Population(BaseModel):
    """Many functions of one shape: ``process`` without its rate, which is ``rate_rps`` times the
    function's share. ``churn``: none if absent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    """Independent functions; adding one changes no other's arrivals. ``WorkloadError`` where they
    are more requests than ``MOST_REQUESTS``."""
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
    """A population's workload. Functions are named by rank, f0 the most popular; under churn
    f0-1 takes the place of f0. ``WorkloadError`` where they are more requests than
    ``MOST_REQUESTS``."""
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
    """The arrivals at one place in the order of popularity, by who holds it."""
    if churn is None:
        return {place: times}
    rounds = int(np.ceil(duration_s / churn.every_s))
    replaced = stream(seed, place, "churn").uniform(size=rounds) < churn.fraction
    replaced[0] = False
    generation = np.cumsum(replaced)[(times / 1e9 // churn.every_s).astype(np.int64)]
    names = {0: place} | {g: f"{place}-{g}" for g in range(1, int(replaced.sum()) + 1)}
    return {name: times[generation == g] for g, name in names.items()}
