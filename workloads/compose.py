"""Builds workloads from workloads: arrivals of one, lengths of another, more or fewer of them.

Each function returns a new workload and adds a step to its provenance. A change in the number of
requests of a function changes its burstiness, so its class is dropped or recomputed from the
arrivals (measurement rule 10).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa

from .columns import OPTIONAL
from .errors import WorkloadError
from .statistics import burst_class, cv
from .streams import stream
from .trace import SCHEMA, Provenance, Workload


def relabelled(workload: Workload) -> Workload:
    """Recompute each function's class from the CV of its arrivals; None below three arrivals."""
    functions = []
    for function in workload.functions:
        value = cv(workload.arrivals_s(function.id))
        found = None if np.isnan(value) else burst_class(value)
        functions.append(function.model_copy(update={"burst_class": found}))
    return replace(workload, functions=tuple(functions))


def thin(workload: Workload, keep: float, *, seed: int) -> Workload:
    """Keep each request with probability ``keep`` and recompute the classes: thinning makes any
    process more like Poisson."""
    if not 0 < keep <= 1:
        raise WorkloadError(f"thin: keep must be in (0, 1], got {keep:g}")
    kept = np.zeros(len(workload), dtype=bool)
    for function, rows in workload.rows().items():
        kept[rows] = stream(seed, function, "thin").uniform(size=len(rows)) < keep
    return relabelled(
        replace(
            workload,
            requests=_numbered(workload.requests.filter(pa.array(kept))),
            provenance=workload.provenance.then("thin", keep=keep, seed=seed),
            minutes=None,
        )
    )


def merge(name: str, parts: Sequence[Workload]) -> Workload:
    """Merge workloads without common functions, by arrival; as long as the longest. Columns that
    are missing in any of them are dropped."""
    if not parts:
        raise WorkloadError("merge: nothing to merge")
    functions = tuple(function for part in parts for function in part.functions)
    if len({function.id for function in functions}) < len(functions):
        raise WorkloadError("merge: a function is in more than one workload; rename it first")
    common = [
        field
        for field in [*SCHEMA, *OPTIONAL]
        if all(field.name in part.requests.column_names for part in parts)
    ]
    table = pa.concat_tables(
        [part.requests.select([field.name for field in common]) for part in parts]
    )
    order = np.argsort(table["arrival_ns"].to_numpy(), kind="stable")
    provenance = Provenance(
        kind="composed",
        source="; ".join(dict.fromkeys(part.provenance.source for part in parts)),
        licence="; ".join(dict.fromkeys(part.provenance.licence for part in parts)),
        attribution="; ".join(dict.fromkeys(part.provenance.attribution for part in parts)),
    ).then("merge", parts=[part.provenance.model_dump() for part in parts])
    return Workload(
        name,
        functions,
        _numbered(table.take(pa.array(order))),
        provenance,
        max(part.duration_ns for part in parts),
    )


def renamed(workload: Workload, names: Mapping[str, str]) -> Workload:
    """Rename functions; those not in ``names`` keep their names."""
    owners = workload.requests["function"].combine_chunks().dictionary_encode()
    new = [names.get(name, name) for name in owners.dictionary.to_pylist()]
    column = pa.DictionaryArray.from_arrays(owners.indices, pa.array(new)).cast(pa.string())
    functions = tuple(
        f.model_copy(update={"id": names.get(f.id, f.id)}) for f in workload.functions
    )
    if len({f.id for f in functions}) < len(functions):
        raise WorkloadError("rename: two functions would have the same name")
    minutes = workload.minutes and {names.get(f, f): c for f, c in workload.minutes.items()}
    place = workload.requests.schema.get_field_index("function")
    return replace(
        workload,
        functions=functions,
        requests=workload.requests.set_column(place, SCHEMA.field("function"), column),
        provenance=workload.provenance.then("rename", names=dict(names)),
        minutes=minutes,
    )


def tile(workload: Workload, times: int) -> Workload:
    """Repeat the workload ``times`` times. It is still one sample, no more certain."""
    if times < 1:
        raise WorkloadError(f"tile: times must be at least 1, got {times}")
    table = pa.concat_tables([workload.requests] * times)
    starts = np.repeat(np.arange(times) * workload.duration_ns, len(workload))
    arrivals = table["arrival_ns"].to_numpy() + starts
    table = table.set_column(1, SCHEMA.field("arrival_ns"), pa.array(arrivals))
    return replace(
        workload,
        requests=_numbered(table),
        duration_ns=workload.duration_ns * times,
        provenance=workload.provenance.then("tile", times=times),
        minutes=None,
    )


def split(workload: Workload, parts: int) -> list[Workload]:
    """Split into consecutive stretches of equal length, to a nanosecond."""
    if parts < 1:
        raise WorkloadError(f"split: parts must be at least 1, got {parts}")
    # One border ends a part and begins the next: no request at it is lost or in both.
    borders = [part * workload.duration_ns // parts for part in range(parts + 1)]
    return [
        replace(workload.window(start / 1e9, (end - start) / 1e9), name=f"{workload.name}-{part}")
        for part, (start, end) in enumerate(pairwise(borders))
    ]


def _numbered(table: pa.Table) -> pa.Table:
    return table.set_column(0, SCHEMA.field("id"), pa.array(np.arange(len(table))))
