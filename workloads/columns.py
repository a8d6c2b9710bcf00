"""The optional columns of a workload: absent if its source lacks them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pyarrow as pa

OPTIONAL = pa.schema(
    [
        ("session", pa.string()),
        ("turn", pa.int32()),
        ("parent", pa.int64()),  # source_row of the request that precedes this one
        ("prefix_hashes", pa.list_(pa.int64())),
        ("failed", pa.bool_()),  # no response in the source
        ("source_row", pa.int64()),  # line in the source's file, from 1
    ]
)

_SLICE = 1 << 16


def json_pieces(column: pa.ChunkedArray) -> Iterator[bytes]:
    """Yield the column as one JSON list in pieces, so that millions of values are held once."""
    yield b"["
    for begin in range(0, len(column), _SLICE):
        piece = json.dumps(column.slice(begin, _SLICE).to_pylist())[1:-1]
        yield (", " * (begin > 0) + piece).encode()
    yield b"]"
