"""Compacts cells: sums up bills, keeps times of tokens to 16 µs and of the hash of each answer its
beginning, packs columns and what servers wrote. All else is unchanged."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..records.cell import seal, unseal
from ..records.files import read_table, write_table

if TYPE_CHECKING:
    from ..records import Cell

LEVEL = 19
_STEP_NS = 1 << 14
"""Times of tokens are multiples of this: a client sees a token tens of microseconds late, and bits
that are zero take no bytes, which is more than a quarter of a live record."""
_HASH_DIGITS = 16
"""Enough to tell two answers apart."""
_TEXTS = ("*.log", "metrics-*.txt")
_SAME = ("resource", "unit", "unit_price_usd", "function_id", "device")


def compact(cell: Cell) -> None:
    """Rewrite a cell's tables in place: intervals of the bill with equal resource, function and
    device become one sum, integers are stored as differences, and those of lists byte by byte; of a
    live cell, times of tokens are kept to 16 µs, and of hashes the beginning. What its servers
    wrote is compressed. If interrupted, the cell has no digests and can be compacted again."""
    unseal(cell)
    for file in sorted(cell.path.glob("*.parquet")):
        table = read_table(file)
        if file.stem == "billing":
            table = summed(table)
        if file.stem == "requests" and cell.manifest.mode == "live":
            table = shortened(rounded(table))
        draft = file.with_suffix(".draft")
        _write(table, draft)
        shutil.move(draft, file)
    for pattern in _TEXTS:
        for file in cell.path.glob(pattern):
            _compress(file)
    seal(cell.path, cell.manifest)


def _compress(file: Path) -> None:
    # Without a time in it, the same text becomes the same bytes.
    file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes(), mtime=0))
    file.unlink()


def summed(billing: pa.Table) -> pa.Table:
    """Return one row per resource, price, function and device, from the start of its first interval
    to the end of its last; ``quantity`` and ``usd`` are sums."""
    sums = [("start_ns", "min"), ("end_ns", "max"), ("quantity", "sum"), ("usd", "sum")]
    grouped = billing.group_by(list(_SAME), use_threads=False).aggregate(sums)
    renamed = grouped.rename_columns(
        [name.rsplit("_", 1)[0] if name not in _SAME else name for name in grouped.column_names]
    )
    return renamed.select(billing.column_names).cast(billing.schema)


def rounded(requests: pa.Table) -> pa.Table:
    """Return the requests with the time of each token, counted from the first, in steps
    of about 16 µs; only the last is exact, so that the gaps have the same sum."""
    gaps: pa.ListArray = requests["itl_ns"].combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(gaps), 0).to_numpy()
    ends = np.cumsum(lengths)
    exact = np.cumsum(pc.list_flatten(gaps).to_numpy())
    before = np.concatenate(([0], exact))[ends - lengths]
    times = exact - np.repeat(before, lengths)
    last = ends[lengths > 0] - 1
    whole = times // _STEP_NS * _STEP_NS
    whole[last] = times[last]
    values = np.diff(whole, prepend=0)
    first = (ends - lengths)[lengths > 0]
    values[first] = whole[first]
    offsets = pa.array(np.concatenate(([0], ends)), pa.int32())
    column = pa.ListArray.from_arrays(
        offsets, pa.array(values, pa.int64()), mask=pc.is_null(gaps)
    ).cast(gaps.type)
    return requests.set_column(requests.column_names.index("itl_ns"), "itl_ns", column)


def shortened(requests: pa.Table) -> pa.Table:
    """Return the requests with the first digits of the hash of each answer."""
    place = requests.column_names.index("text_sha256")
    digits = pc.utf8_slice_codeunits(requests["text_sha256"], 0, _HASH_DIGITS)
    return requests.set_column(place, "text_sha256", digits)


def _write(table: pa.Table, path: Path) -> None:
    whole = [f.name for f in table.schema if pa.types.is_integer(f.type)]
    lists = [f"{f.name}.list.element" for f in table.schema if pa.types.is_list(f.type)]
    flat = [f.name for f in table.schema if f.name not in whole and not pa.types.is_nested(f.type)]
    differences = dict.fromkeys(whole, "DELTA_BINARY_PACKED")
    write_table(
        table,
        path,
        compression_level=LEVEL,
        use_dictionary=flat,
        column_encoding=differences | dict.fromkeys(lists, "BYTE_STREAM_SPLIT"),
    )
