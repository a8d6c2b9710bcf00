"""One schema for every source: functions + requests + provenance.

Frozen: a transform returns a new workload and adds a step to its provenance.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from .columns import OPTIONAL, json_pieces
from .errors import WorkloadError

SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("arrival_ns", pa.int64()),
        ("function", pa.string()),
        ("prompt_tokens", pa.int32()),
        ("output_tokens", pa.int32()),
    ]
)
Counts = np.ndarray[Any, np.dtype[np.int64]]
_METADATA = b"slbench.workload"

SHORTEST_S, LONGEST_S = 1e-3, 1e9
"""Limits of a replayed workload's duration, against mistyped factors and int64 overflow."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


BurstClass = Literal["predictable", "normal", "bursty"]


class TraceFunction(_Frozen):
    """A function of a workload: its name, data from its source, and later additions. Values that
    can be computed (its requests, their CV) are not stored."""

    id: str
    source_hash: str | None = None
    trigger: str | None = None
    burst_class: BurstClass | None = None
    duration_ms: float | None = None
    """Mean execution time in the source."""
    memory_mb: float | None = None
    """Mean memory of its application in the source."""
    backbone: str | None = None
    adapter: str | None = None
    rank: int | None = None


class Transform(_Frozen):
    """One step from the source to this workload."""

    name: str
    parameters: Mapping[str, Any]


class Provenance(_Frozen):
    """The source of a workload, and all steps since."""

    kind: Literal["recorded", "expanded", "synthetic", "composed"]
    source: str
    licence: str = ""
    attribution: str = ""
    checksum: str = ""
    transforms: tuple[Transform, ...] = ()

    def then(self, name: str, **parameters: Any) -> Provenance:
        step = Transform(name=name, parameters=parameters)
        return self.model_copy(update={"transforms": (*self.transforms, step)})


@dataclass(frozen=True)
class Workload:
    """Requests in order of arrival. ``duration_ns``: length of the trace, which may be more than
    the last arrival. ``minutes``: counts per minute by function, from which the arrivals were
    expanded; None after a transform that adds, removes or moves requests. Raises
    :class:`WorkloadError` if inconsistent."""

    name: str
    functions: tuple[TraceFunction, ...]
    requests: pa.Table
    provenance: Provenance
    duration_ns: int
    minutes: Mapping[str, Counts] | None = None

    def __post_init__(self) -> None:
        _check(self)

    def __len__(self) -> int:
        return int(self.requests.num_rows)

    @property
    def sha256(self) -> str:
        """Digest of functions and requests, the same on every machine and for every file format."""
        digest = hashlib.sha256(json.dumps([f.id for f in self.functions]).encode())
        optional = [name for name in OPTIONAL.names if name in self.requests.column_names]
        for name in [*SCHEMA.names, *optional]:
            digest.update(name.encode() if name in optional else b"")
            for piece in json_pieces(self.requests[name]):
                digest.update(piece)
        return digest.hexdigest()

    def arrivals_s(self, function: str | None = None) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Arrival times in seconds, of one function or of all."""
        table = self.requests
        if function is not None:
            table = table.filter(pc.equal(table["function"], function))
        times: np.ndarray[Any, np.dtype[np.float64]] = table["arrival_ns"].to_numpy() / 1e9
        return times

    def rows(self) -> dict[str, Counts]:
        """Row indices of each function that has requests."""
        owners = self.requests["function"].combine_chunks().dictionary_encode()
        order = np.argsort(owners.indices.to_numpy(), kind="stable")
        sizes = np.bincount(owners.indices.to_numpy(), minlength=len(owners.dictionary))
        pieces = np.split(order, np.cumsum(sizes))[:-1]
        return dict(zip(owners.dictionary.to_pylist(), pieces, strict=True))

    def with_columns(self, provenance: Provenance, **columns: Any) -> Workload:
        """Return the same requests with some columns replaced."""
        table = self.requests
        for name, values in columns.items():
            table = _with(table, name, values)
        counted = None if "function" in columns else self.minutes
        return replace(self, requests=table, provenance=provenance, minutes=counted)

    def compress(self, factor: float) -> Workload:
        """Replay ``factor`` times as fast. Keeps every CV (measurement rule 10). Raises
        ``WorkloadError`` if the result is shorter than ``SHORTEST_S`` or longer than ``LONGEST_S``.
        """
        lasts_s = self.duration_ns / 1e9
        least, most = lasts_s / LONGEST_S, lasts_s / SHORTEST_S
        if not least <= factor <= most:
            raise WorkloadError(
                f"time_scale {factor:g}: {self.name} lasts {lasts_s:g} s, it can be replayed"
                f" from {least:.3g} to {most:.3g} times as fast"
            )
        times = np.rint(self.requests["arrival_ns"].to_numpy() / factor).astype(np.int64)
        return replace(
            self,
            requests=_with(self.requests, "arrival_ns", times),
            duration_ns=round(self.duration_ns / factor),
            provenance=self.provenance.then("compress", factor=factor),
            minutes=None,
        )

    def ramped(self, start: float) -> Workload:
        """Move the arrivals so that the rate, which was about constant, grows from ``start`` times
        the mean to 2 − ``start`` times; number and duration stay. Raise ``WorkloadError`` if
        ``start`` is not from 0 to 2."""
        if not 0 <= start <= 2:
            raise WorkloadError(f"ramp {start:g}: the rate at the start is 0 to 2 times the mean")
        share = self.requests["arrival_ns"].to_numpy() / self.duration_ns
        # The share of requests by time u is start·u + (1 − start)·u²; solve it for u.
        growth = 1 - start
        u = 2 * share / (start + np.sqrt(np.maximum(start**2 + 4 * growth * share, 0)))
        u = np.where(share > 0, u, 0.0)
        times = np.maximum.accumulate(np.rint(u * self.duration_ns).astype(np.int64))
        return replace(
            self,
            requests=_with(self.requests, "arrival_ns", times),
            provenance=self.provenance.then("ramp", start=start),
            minutes=None,
        )

    def capped(self, requests: int) -> Workload:
        """Keep the first ``requests``; the trace ends where the next one would come."""
        if requests >= len(self):
            return self
        last, following = self.requests["arrival_ns"].slice(requests - 1, 2).to_pylist()
        return replace(
            self,
            requests=self.requests.slice(0, requests),
            duration_ns=max(following, last + 1),
            provenance=self.provenance.then("cap", requests=requests),
            minutes=None,
        )

    def window(self, start_s: float, duration_s: float) -> Workload:
        """Return the requests of [start, start + duration), with arrivals relative to its start."""
        start, length = round(start_s * 1e9), round(duration_s * 1e9)
        times = self.requests["arrival_ns"].to_numpy()
        table = self.requests.filter(pa.array((times >= start) & (times < start + length)))
        shifted = _with(table, "arrival_ns", table["arrival_ns"].to_numpy() - start)
        step = self.provenance.then("window", start_s=start_s, duration_s=duration_s)
        return replace(
            self,
            requests=_with(shifted, "id", np.arange(len(shifted))),
            duration_ns=min(length, self.duration_ns - start),
            provenance=step,
            minutes=None,
        )

    def first(self, functions: int) -> Workload:
        """Keep the first functions and their requests. Raises ``WorkloadError`` for too few."""
        if functions > len(self.functions):
            raise WorkloadError(
                f"workload {self.name!r} has {len(self.functions)} functions, not {functions}"
            )
        kept = [function.id for function in self.functions[:functions]]
        return self.of_functions(kept, self.provenance.then("first", functions=functions))

    def of_functions(self, ids: Collection[str], provenance: Provenance) -> Workload:
        """Keep the functions of these ``ids`` and their requests, unchanged."""
        table = self.requests.filter(pc.is_in(self.requests["function"], pa.array(list(ids))))
        return replace(
            self,
            functions=tuple(function for function in self.functions if function.id in ids),
            requests=_with(table, "id", np.arange(len(table))),
            provenance=provenance,
            minutes=None,
        )

    def write(self, path: Path) -> None:
        """Write Parquet, with functions and provenance in its metadata."""
        about = {
            "name": self.name,
            "functions": [f.model_dump() for f in self.functions],
            "provenance": self.provenance.model_dump(),
            "duration_ns": self.duration_ns,
            "minutes": {f: counts.tolist() for f, counts in (self.minutes or {}).items()},
        }
        metadata = {_METADATA: json.dumps(about).encode()}
        table = self.requests.replace_schema_metadata(metadata)
        pq.write_table(table, path, write_page_checksum=True)

    @classmethod
    def read(cls, path: Path) -> Workload:
        try:
            table = pq.read_table(path, page_checksum_verification=True)
            about = json.loads(table.schema.metadata[_METADATA])
            functions = tuple(TraceFunction.model_validate(f) for f in about["functions"])
            provenance = Provenance.model_validate(about["provenance"])
            name, duration_ns = about["name"], about["duration_ns"]
            minutes = about.get("minutes", {}).items()
        except (OSError, pa.ArrowException, LookupError, TypeError, ValueError) as error:
            raise WorkloadError(f"{path}: not a workload written by this suite") from error
        return cls(
            name,
            functions,
            table.replace_schema_metadata(None),
            provenance,
            duration_ns,
            {f: np.array(counts) for f, counts in minutes} or None,
        )


def whole_ns(arrivals_s: np.ndarray[Any, np.dtype[np.float64]]) -> Counts:
    """Convert sorted seconds to distinct nanoseconds: an equal time moves one nanosecond."""
    index = np.arange(len(arrivals_s))
    times = np.rint(arrivals_s * 1e9).astype(np.int64)
    return np.asarray(np.maximum.accumulate(times - index) + index)


def from_arrivals(
    name: str,
    functions: Sequence[TraceFunction],
    arrivals_ns: Mapping[str, np.ndarray[Any, Any]],
    provenance: Provenance,
    duration_ns: int,
    minutes: Mapping[str, Counts] | None = None,
) -> Workload:
    """Build a workload from each function's arrival times; lengths are 1 until they are set."""
    times = np.concatenate([np.asarray(arrivals_ns[f.id], dtype=np.int64) for f in functions])
    names = sorted({f.id for f in functions})  # numpy would cut a name at a NUL
    rank = {name: index for index, name in enumerate(names)}
    ranks = np.array([rank[f.id] for f in functions], dtype=np.int64)
    # Ranks instead of names: millions of rows of 64-character hashes would not fit into memory.
    owners = np.repeat(ranks, [len(arrivals_ns[f.id]) for f in functions])
    order = np.lexsort((owners, times))
    ones = np.ones(len(times), dtype=np.int32)
    ids = pa.DictionaryArray.from_arrays(owners[order], pa.array(names)).cast(pa.string())
    columns = [np.arange(len(times)), times[order], ids, ones, ones]
    table = pa.table(dict(zip(SCHEMA.names, columns, strict=True)), schema=SCHEMA)
    return Workload(name, tuple(functions), table, provenance, duration_ns, minutes)


def _with(table: pa.Table, name: str, values: Any) -> pa.Table:
    field = SCHEMA.field(name)
    index = table.schema.get_field_index(name)
    return table.set_column(index, field, pa.array(values, type=field.type))


def _check(workload: Workload) -> None:
    table = workload.requests
    if not set(SCHEMA.names) <= set(table.column_names):
        missing = sorted(set(SCHEMA.names) - set(table.column_names))
        raise WorkloadError(f"workload {workload.name}: columns {missing} are missing")
    unknown = set(pc.unique(table["function"]).to_pylist()) - {f.id for f in workload.functions}
    if unknown:
        raise WorkloadError(f"workload {workload.name}: functions {sorted(unknown)} are unknown")
    times = table["arrival_ns"].to_numpy()
    if len(times) and (times[0] < 0 or (np.diff(times) < 0).any()):
        raise WorkloadError(f"workload {workload.name}: arrivals are not in order from 0 on")
    for name in ("prompt_tokens", "output_tokens"):
        if len(table) and pc.min(table[name]).as_py() < 1:
            raise WorkloadError(f"workload {workload.name}: {name} must be at least 1")
