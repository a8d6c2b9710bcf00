"""Columns of schema 2, in the units their names carry. Missing is null, never 0."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from ..errors import RecordError

VERSION = 2
HOST = "host"
"""The device of rows about host memory; of the nodes of a cluster, ``host-0``, ``host-1``, …"""

REQUESTS = pa.schema(
    [
        ("request_id", pa.int64()),
        ("function_id", pa.string()),
        ("adapter_id", pa.string()),
        ("backbone", pa.string()),
        ("scheduled_ns", pa.int64()),
        ("sent_ns", pa.int64()),
        ("first_byte_ns", pa.int64()),
        ("first_token_ns", pa.int64()),
        ("last_token_ns", pa.int64()),
        ("prompt_tokens", pa.int32()),
        ("output_tokens", pa.int32()),
        ("wanted_output_tokens", pa.int32()),
        ("status", pa.string()),
        ("error", pa.string()),
        ("start_type", pa.string()),
        ("slo_ttft_ns", pa.int64()),
        ("instance_id", pa.string()),
        ("batch_size", pa.int32()),
        # Beyond the contract: both ends of the exchange on both sides, for the transport time; the
        # device, for the cost; and values that only this suite's client reports.
        ("received_ns", pa.int64()),
        ("responded_ns", pa.int64()),
        ("end_ns", pa.int64()),
        ("device", pa.string()),
        ("connect_ns", pa.int64()),
        ("text_sha256", pa.string()),
        ("itl_ns", pa.list_(pa.int64())),
        # The interval that is billed to the request, if the system observes its instances.
        ("placed_ns", pa.int64()),
        ("done_ns", pa.int64()),
        # Of the contract since schema 2, whose first cells lack it. Null: the function is its own.
        ("tenant", pa.string()),
        # Null: the request has no such objective; older cells lack them.
        ("slo_tpot_ns", pa.int64()),
        ("slo_e2e_ns", pa.int64()),
    ]
)
SPANS = pa.schema(
    [
        ("request_id", pa.int64()),
        ("stage", pa.string()),
        ("start_ns", pa.int64()),
        ("end_ns", pa.int64()),
    ]
)
MEMORY = pa.schema(
    [
        ("t_ns", pa.int64()),
        ("device", pa.string()),
        ("owner", pa.string()),
        ("function_id", pa.string()),
        ("bytes", pa.int64()),
        # Beyond the contract: the system's own ledger, or measured from outside.
        ("source", pa.string()),
    ]
)
BILLING = pa.schema(
    [
        ("resource", pa.string()),
        ("start_ns", pa.int64()),
        ("end_ns", pa.int64()),
        ("quantity", pa.float64()),
        ("unit", pa.string()),
        ("unit_price_usd", pa.float64()),
        ("usd", pa.float64()),
        ("function_id", pa.string()),
        # Beyond the contract: the device of the bytes; null if there is none.
        ("device", pa.string()),
    ]
)
BEYOND = {
    "requests": frozenset(REQUESTS.names[REQUESTS.names.index("received_ns") :]),
    "spans": frozenset[str](),
    "memory": frozenset({"source"}),
    "billing": frozenset({"device"}),
}
"""Columns that this suite writes and that foreign tables may lack."""

TABLES = {"requests": REQUESTS, "spans": SPANS, "memory": MEMORY, "billing": BILLING}


def is_host(device: str) -> bool:
    """Return whether a row of the memory table is about host memory, not that of a device."""
    return device == HOST or device.startswith(f"{HOST}-")


def conform(
    table: pa.Table, name: str, where: Path | str, columns: Sequence[str] | None = None
) -> pa.Table:
    """Return ``table`` with the schema's columns first and in order, then further ones. Missing
    columns beyond the contract become null. ``columns``: only these, in this order. Raises
    ``RecordError`` naming a column that is missing or has another type."""
    schema, file = TABLES[name], f"{where}/{name}.parquet"
    for column in schema.names if columns is None else columns:
        if column not in table.column_names:
            if column not in BEYOND[name]:
                raise RecordError(f"{file}: column {column} is missing")
            field = schema.field(column)
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
        elif column in schema.names:
            _same_type(table.schema.field(column), schema.field(column), file)
    extra = [column for column in table.column_names if column not in schema.names]
    return table.select([*schema.names, *extra] if columns is None else list(columns))


def _same_type(found: pa.Field, known: pa.Field, file: str) -> None:
    if not found.type.equals(known.type):
        raise RecordError(
            f"{file}: column {known.name} is {found.type}, schema {VERSION} says {known.type}"
        )


def empty(name: str) -> pa.Table:
    return TABLES[name].empty_table()
