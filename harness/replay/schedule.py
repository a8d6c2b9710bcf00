"""When each request is sent, and its content: fixed before the run, hashed, split over workers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import HarnessError

if TYPE_CHECKING:
    from workloads.trace import Workload

SCHEMA = pa.schema(
    [
        ("request_id", pa.int64()),
        ("scheduled_ns", pa.int64()),
        ("function_id", pa.string()),
        ("prompt_ids", pa.list_(pa.int32())),
        ("output_tokens", pa.int32()),
    ]
)


TEXT = pa.field("prompt_text", pa.string())
"""A further column, of schedules whose requests have text instead of token ids."""


@dataclass(frozen=True)
class Schedule:
    """A row per request, in send order. ``scheduled_ns`` counts from the run's start;
    ``output_tokens`` is the requested number. Raises :class:`HarnessError` if malformed."""

    table: pa.Table

    def __post_init__(self) -> None:
        _check(self.table)

    @classmethod
    def from_columns(cls, **columns: Any) -> Schedule:
        """Build from one sequence per column of ``SCHEMA``, with rows in any order."""
        table = pa.table(columns, schema=SCHEMA)
        return cls(table.sort_by([("scheduled_ns", "ascending"), ("request_id", "ascending")]))

    @classmethod
    def read(cls, path: Path) -> Schedule:
        try:
            return cls(pq.read_table(path))
        except (OSError, pa.ArrowException) as error:
            raise HarnessError(f"{path}: not a schedule ({error})") from error

    def write(self, path: Path) -> None:
        pq.write_table(self.table, path, compression="zstd")

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def duration_ns(self) -> int:
        """Time of the last request, from the run's start."""
        return int(self.table["scheduled_ns"][-1].as_py()) if len(self) else 0

    @cached_property
    def sha256(self) -> str:
        """Digest of the values alone, independent of how they were written or stored: per column
        its name and little-endian values; strings and lists as their lengths, then their contents.
        """
        digest = hashlib.sha256(b"schedule 1")
        for name in self.table.schema.names:
            digest.update(name.encode())
            for part in _canonical(self.table[name]):
                digest.update(part)
        return digest.hexdigest()

    def share(self, worker: int, workers: int) -> Schedule:
        """Return one worker's part: every ``workers``-th row, starting at ``worker``. The parts are
        disjoint and cover the schedule, so the number of workers changes no send time."""
        if not 0 <= worker < workers:
            raise HarnessError(f"load worker {worker} of {workers}: workers are numbered from 0")
        return Schedule(self.table.take(np.arange(worker, len(self), workers, dtype=np.int64)))


def _canonical(column: pa.ChunkedArray) -> list[bytes]:
    if pa.types.is_string(column.type):
        lengths = pc.binary_length(column)
        return [_little_endian(lengths), "".join(column.to_pylist()).encode()]
    if pa.types.is_list(column.type):
        return [
            _little_endian(pc.list_value_length(column)),
            _little_endian(pc.list_flatten(column)),
        ]
    return [_little_endian(column)]


def _little_endian(column: pa.ChunkedArray) -> bytes:
    return bytes(column.to_numpy().astype("<i8").tobytes())


def _check(table: pa.Table) -> None:
    if table.schema.remove_metadata() not in (SCHEMA, SCHEMA.append(TEXT)):
        raise HarnessError(f"schedule: columns must be {SCHEMA.names}, got {table.schema.names}")
    for name in table.schema.names:
        if table[name].null_count:
            raise HarnessError(f"schedule: {name} has {table[name].null_count} missing values")
    if not table.num_rows:
        return
    times = table["scheduled_ns"].to_numpy()
    if times[0] < 0 or np.any(np.diff(times) < 0):
        raise HarnessError("schedule: scheduled_ns must be sorted and not negative")
    if pc.count_distinct(table["request_id"]).as_py() != table.num_rows:
        raise HarnessError("schedule: request_id must be unique")
    for name, least in (
        ("output_tokens", pc.min(table["output_tokens"]).as_py()),
        ("prompt_ids", pc.min(pc.list_value_length(table["prompt_ids"])).as_py()),
    ):
        if least < 1:
            raise HarnessError(f"schedule: every request needs at least one token in {name}")


def build_schedule(workload: Workload, *, seed: int, vocab_size: int) -> Schedule:
    """Build the schedule of a workload's arrivals, with generated prompts. A prompt depends on
    ``seed``, the request's id, its length and the prefixes that the trace marks as shared. Token
    ids are below ``vocab_size``."""
    from workloads.prompts import prompts

    requests = workload.requests
    return Schedule.from_columns(
        request_id=requests["id"],
        scheduled_ns=requests["arrival_ns"],
        function_id=requests["function"],
        prompt_ids=_as_lists(prompts(workload, seed, vocab_size)),
        output_tokens=requests["output_tokens"].cast(pa.int32()),
    )


def _as_lists(found: list[np.ndarray[Any, np.dtype[np.int32]]]) -> pa.ListArray:
    offsets = np.zeros(len(found) + 1, np.int32)
    np.cumsum([len(prompt) for prompt in found], out=offsets[1:])
    values = np.concatenate(found) if found else np.zeros(0, np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values, pa.int32()))
