"""safetensors headers, read without reading tensors: names, shapes, dtypes, and where they lie.

Only headers are parsed here, and nothing is imported for it, so that a deployment can be refused
before a process starts. Pickled checkpoints are not read at all: they run code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_MAX_HEADER = 100 << 20
ITEM_BYTES = {"F32": 4, "BF16": 2, "F16": 2}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a file; ``start`` and ``end`` in bytes from the file's beginning."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_header(path: Path) -> dict[str, StoredTensor]:
    """Tensors of one file by name; ``ValueError`` in one line where it is cut or malformed."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(_MAX_HEADER, size - 8):
            raise ValueError(f"{path}: not a whole safetensors file")
        try:
            header = json.loads(file.read(length))
        except ValueError as error:
            raise ValueError(f"{path}: its safetensors header is corrupt") from error
    header.pop("__metadata__", None)
    return {name: _entry(path, name, entry, 8 + length, size) for name, entry in header.items()}


def _entry(path: Path, name: str, entry: object, base: int, size: int) -> StoredTensor:
    try:
        assert isinstance(entry, Mapping)
        start, end = (base + offset for offset in entry["data_offsets"])
        tensor = StoredTensor(path, entry["dtype"], tuple(entry["shape"]), start, end)
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: the entry of {name} is malformed") from error
    if tensor.dtype not in ITEM_BYTES:
        raise ValueError(f"{path}: {name} is {tensor.dtype}; F32, BF16 and F16 are read")
    count = ITEM_BYTES[tensor.dtype]
    for extent in tensor.shape:
        count *= extent
    if end - start != count or end > size or start < base:
        raise ValueError(f"{path}: {name} is cut short; the file is incomplete")
    return tensor
