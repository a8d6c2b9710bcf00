"""Writes fitted workloads as TOML entries of this folder, such as the shipped azure-* and llm-*."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ..errors import WorkloadError
from ..fit import SEEDS, Fit, fit, fit_arrivals
from ..generators.clusters import Clusters
from ..generators.stationary_clusters import StationaryClusters
from ..lengths import Percentiles, lacks_lengths
from ..minutes import MINUTE_S, MinuteCounts
from ..statistics import burst_class
from ..trace import TraceFunction, Workload


def fitted_toml(
    minutes: MinuteCounts,
    summary: str,
    source: str,
    clusters: type[Clusters] = StationaryClusters,
) -> str:
    """Return a catalogue entry for counts per minute: each function's process, the observed
    statistics, and the median of ``SEEDS`` simulated traces. ``clusters``: the kind of process; the
    shipped azure-* were fitted before there was the default. Raises ``WorkloadError`` if a function
    has too few requests."""
    for function in minutes.functions:
        _check_enough(minutes.name, function, int(minutes.counts[function.id].sum()))
    lines = [
        *_head(summary, source, minutes.duration_s),
        f"# fit: observed, and the median of {SEEDS} simulated traces; cv is of inter-arrival",
        "# times, calls uniform within their minute; dispersion is of counts per 60 s.",
    ]
    for function in minutes.functions:
        lines += _function(function, fit(minutes.counts[function.id], clusters=clusters))
    return "\n".join(lines) + "\n"


def fitted_toml_of(workload: Workload, summary: str, source: str) -> str:
    """Return a catalogue entry for a workload: fitted to its counts per minute if it was expanded
    from them, else to its arrivals, with the percentiles of its lengths if known. Raises
    ``WorkloadError`` if it is too short or a function has too few requests."""
    if workload.minutes is not None:
        counted = MinuteCounts(
            workload.name, workload.functions, workload.minutes, workload.provenance
        )
        return fitted_toml(counted, summary, source)
    duration_s = workload.duration_ns / 1e9
    _check(workload, duration_s)
    lines = [
        *_head(summary, source, duration_s),
        f"# fit: observed, and the median of {SEEDS} simulated traces; cv is of inter-arrival",
        "# times; dispersion is of counts per 60 s and per 1 s.",
    ]
    for name in () if lacks_lengths(workload) else ("prompt", "output"):
        found = Percentiles.of(workload.requests[f"{name}_tokens"].to_numpy(), source)
        lines.append(_table(name, found.model_dump()))
    for function in workload.functions:
        lines += _function(function, fit_arrivals(workload.arrivals_s(function.id), duration_s))
    return "\n".join(lines) + "\n"


def _check(workload: Workload, duration_s: float) -> None:
    """Raise ``WorkloadError`` where arrivals have no statistics to fit."""
    if duration_s < MINUTE_S:
        raise WorkloadError(f"{workload.name}: lasts {duration_s:g} s, a fit needs {MINUTE_S:g}")
    for function in workload.functions:
        _check_enough(workload.name, function, len(workload.arrivals_s(function.id)))


def _check_enough(name: str, function: TraceFunction, count: int) -> None:
    """Raise ``WorkloadError`` for fewer than three requests, whose gaps have no CV."""
    if count < 3:
        raise WorkloadError(f"{name}: function {function.id} has {count} requests, a fit needs 3")


def _head(summary: str, source: str, duration_s: float) -> list[str]:
    return [
        f"summary = {json.dumps(summary, ensure_ascii=False)}",
        f"source = {json.dumps(source, ensure_ascii=False)}",
        f"duration_s = {duration_s}",
    ]


def _function(function: TraceFunction, found: Fit) -> Iterator[str]:
    about = function.model_dump(exclude_none=True)
    about["burst_class"] = burst_class(found.observed["cv"])
    yield from ("", "[[function]]", _table("about", about))
    yield _table("process", found.process.model_dump())
    for title, values in (("observed", found.observed), ("simulated", found.simulated)):
        yield _table(f"fit.{title}", {k: round(v, 4) for k, v in values.items()})


def _table(name: str, values: dict[str, object]) -> str:
    inside = ", ".join(
        f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()
    )
    return f"{name} = {{ {inside} }}"
