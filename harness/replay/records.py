"""The client's record of a request: a row of ``client.parquet``."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import pyarrow as pa

from ..errors import HarnessError
from .schedule import Schedule

_MEASURED = [
    ("sent_ns", pa.int64()),
    ("connect_ns", pa.int64()),
    ("first_byte_ns", pa.int64()),
    ("first_token_ns", pa.int64()),
    ("last_token_ns", pa.int64()),
    ("end_ns", pa.int64()),
    ("prompt_tokens", pa.int32()),
    ("output_tokens", pa.int32()),
    ("status", pa.string()),
    ("error", pa.string()),
    ("http_status", pa.int32()),
    ("text_sha256", pa.string()),
    ("itl_ns", pa.list_(pa.int64())),
    ("events", pa.int32()),
]
PART_SCHEMA = pa.schema([("row", pa.int64()), *_MEASURED, ("due_ns", pa.int64())])
CLIENT_SCHEMA = pa.schema(
    [
        ("request_id", pa.int64()),
        ("scheduled_ns", pa.int64()),
        ("function_id", pa.string()),
        ("wanted_output_tokens", pa.int32()),
        *_MEASURED,
    ]
)


@dataclass(frozen=True, slots=True)
class Record:
    """One request as the client saw it. Times in nanoseconds from the run's start. ``row``: in the
    whole schedule. ``connect_ns``: from sending to the established connection, 0 on a reused one.
    ``itl_ns``: the gap before every token except the first. ``due_ns``: the intended send; in a
    closed loop, when a user was ready."""

    row: int
    sent_ns: int | None
    connect_ns: int | None
    first_byte_ns: int | None
    first_token_ns: int | None
    last_token_ns: int | None
    end_ns: int | None
    prompt_tokens: int | None
    output_tokens: int | None
    status: str
    error: str | None
    http_status: int | None
    text_sha256: str | None
    itl_ns: list[int] | None
    events: int
    due_ns: int | None = None


_NAMES = [entry.name for entry in fields(Record)]


class PartWriter:
    """Appends records to an Arrow stream, which stays readable up to its last complete batch even
    if the writer is killed."""

    def __init__(self, path: Path, *, batch: int = 1024, every_s: float = 1.0) -> None:
        self._stream = pa.ipc.new_stream(path, PART_SCHEMA)
        self._batch, self._every_s = batch, every_s
        self._waiting: list[Record] = []
        self._written = time.monotonic()

    def add(self, record: Record) -> None:
        self._waiting.append(record)
        if len(self._waiting) >= self._batch or time.monotonic() - self._written > self._every_s:
            self.flush()

    def flush(self) -> None:
        columns = [[getattr(record, name) for record in self._waiting] for name in _NAMES]
        arrays = [
            pa.array(column, type_)
            for column, type_ in zip(columns, PART_SCHEMA.types, strict=True)
        ]
        self._stream.write_batch(pa.record_batch(arrays, schema=PART_SCHEMA))
        self._waiting, self._written = [], time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
        self._stream.close()


def read_part(path: Path) -> pa.Table:
    """Read the records that a worker wrote; an empty table if there are none."""
    batches = []
    try:
        with pa.ipc.open_stream(path) as stream:
            batches.extend(stream)
    except (OSError, pa.ArrowInvalid):
        pass
    return pa.Table.from_batches(batches, PART_SCHEMA)


def client_table(schedule: Schedule, parts: list[pa.Table], why_missing: str) -> pa.Table:
    """Build a table with a row per request of ``schedule``, sent or not. ``scheduled_ns`` is the
    intended send, which only the sender knows in a closed loop. ``why_missing`` is the error of
    requests that no worker reported. Raises :class:`HarnessError` for duplicates."""
    told = pa.concat_tables(parts) if parts else PART_SCHEMA.empty_table()
    if len(set(told["row"].to_pylist())) != told.num_rows:
        raise HarnessError("replay: a request was recorded twice")
    plan = schedule.table.select(["request_id", "scheduled_ns", "function_id"])
    plan = plan.append_column("wanted_output_tokens", schedule.table["output_tokens"])
    rows = plan.append_column("row", pa.array(range(len(schedule)), pa.int64()))
    # Joins refuse list columns, so rows are matched by position.
    position = dict(zip(told["row"].to_pylist(), range(told.num_rows), strict=True))
    indices = pa.array([position.get(row) for row in rows["row"].to_pylist()], pa.int64())
    for name, type_ in _MEASURED:
        plan = plan.append_column(name, told[name].combine_chunks().take(indices).cast(type_))
    due = told["due_ns"].combine_chunks().take(indices)
    due = pa.compute.coalesce(due, plan["scheduled_ns"].combine_chunks())
    plan = plan.set_column(plan.schema.get_field_index("scheduled_ns"), "scheduled_ns", due)
    return _with_missing(plan, why_missing).cast(CLIENT_SCHEMA)


def _with_missing(table: pa.Table, why: str) -> pa.Table:
    missing = table["status"].is_null()
    for name, value in (("error", why), ("status", "unsent"), ("events", 0)):
        column = pa.compute.if_else(missing, pa.scalar(value), table[name])
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table
