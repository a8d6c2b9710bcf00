"""Compacts cells: sums up bills, packs columns. The input of metrics and figures is unchanged."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from ..records.cell import seal, unseal
from ..records.files import read_table, write_table

if TYPE_CHECKING:
    from ..records import Cell

_LEVEL = 19
_SAME = ("resource", "unit", "unit_price_usd", "function_id", "device")


def compact(cell: Cell) -> None:
    """Rewrite a cell's tables in place: intervals of the bill with equal resource, function and
    device become one sum, integers are stored as differences, and those of lists byte by byte. If
    interrupted, the cell has no digests and can be compacted again."""
    unseal(cell)
    for file in sorted(cell.path.glob("*.parquet")):
        table = read_table(file)
        if file.stem == "billing":
            table = summed(table)
        draft = file.with_suffix(".draft")
        _write(table, draft)
        shutil.move(draft, file)
    seal(cell.path, cell.manifest)


def summed(billing: pa.Table) -> pa.Table:
    """Return one row per resource, price, function and device, from the start of its first interval
    to the end of its last; ``quantity`` and ``usd`` are sums."""
    sums = [("start_ns", "min"), ("end_ns", "max"), ("quantity", "sum"), ("usd", "sum")]
    grouped = billing.group_by(list(_SAME), use_threads=False).aggregate(sums)
    renamed = grouped.rename_columns(
        [name.rsplit("_", 1)[0] if name not in _SAME else name for name in grouped.column_names]
    )
    return renamed.select(billing.column_names).cast(billing.schema)


def _write(table: pa.Table, path: Path) -> None:
    whole = [f.name for f in table.schema if pa.types.is_integer(f.type)]
    lists = [f"{f.name}.list.element" for f in table.schema if pa.types.is_list(f.type)]
    flat = [f.name for f in table.schema if f.name not in whole and not pa.types.is_nested(f.type)]
    differences = dict.fromkeys(whole, "DELTA_BINARY_PACKED")
    write_table(
        table,
        path,
        compression_level=_LEVEL,
        use_dictionary=flat,
        column_encoding=differences | dict.fromkeys(lists, "BYTE_STREAM_SPLIT"),
    )
