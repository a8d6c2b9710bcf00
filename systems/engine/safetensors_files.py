"""Locates each tensor of a safetensors checkpoint, from the file headers alone.

Does not use the safetensors package, so that bytes go from the file to their destination in one
``pread``, without a tensor in between. Format: an 8-byte little-endian length, a JSON header of
that length, then the contiguous data; offsets count from the start of the data
(https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import math
import os
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from systems.errors import SystemsError

from .bounded_files import MAX_JSON_BYTES, open_regular, parse_json, read_json
from .dtypes import ITEMSIZE, SAFETENSORS_NAMES

_MAX_DIMENSIONS = 8
_STORED = {"float32": "<f4", "bfloat16": "<u2", "float16": "<f2"}  # numpy has no bfloat16
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a file: ``nbytes`` from ``offset``, counted from the start of the file."""

    path: Path
    offset: int
    nbytes: int
    dtype: str
    shape: tuple[int, ...]


def read_header(path: Path, error: type[SystemsError]) -> dict[str, StoredTensor]:
    """Read every tensor entry of a file. Raise ``error`` if the header or file size is wrong."""
    try:
        with open_regular(path, error) as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(MAX_JSON_BYTES, size - 8):
                raise error(f"{path}: not a safetensors file, or cut short ({size} bytes)")
            raw = file.read(length)
    except OSError as problem:
        raise error(f"{path}: {problem.strerror or problem}") from problem
    header = parse_json(raw, f"{path}: corrupt safetensors header", error)
    try:
        tensors = {
            name: _tensor(path, 8 + length, entry)
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise error(f"{path}: corrupt safetensors header: {problem}") from problem
    _check(path, size, tensors, error)
    return tensors


def find_shards(model_dir: Path, error: type[SystemsError]) -> tuple[Path, ...]:
    """Return the files of a checkpoint: a single one or those of its index. Raise ``error`` for
    pickled weights, because loading them would run any code that they contain."""
    single, index = model_dir / "model.safetensors", model_dir / "model.safetensors.index.json"
    if single.exists():
        return (single,)
    if index.exists():
        names = _indexed(index, error)
        missing = [name for name in names if not (model_dir / name).is_file()]
        if missing:
            raise error(f"{model_dir}: {missing[0]} is missing, which {index.name} names")
        return tuple(model_dir / name for name in names)
    if any(model_dir.glob("*.bin")) or any(model_dir.glob("*.pt*")):
        raise error(f"{model_dir}: pickled weights are not loaded; convert them to safetensors")
    raise error(f"{model_dir}: no model.safetensors")


def _indexed(index: Path, error: type[SystemsError]) -> list[str]:
    """Return the file names in a checkpoint's index."""
    content = read_json(index, error)
    names = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(names, dict) or not all(isinstance(each, str) for each in names.values()):
        raise error(f"{index}: corrupt index: weight_map must name a file for each tensor")
    return sorted(set(names.values()))


def read_headers(paths: tuple[Path, ...], error: type[SystemsError]) -> dict[str, StoredTensor]:
    """Read every tensor entry of several files."""
    found: dict[str, StoredTensor] = {}
    for path in paths:
        found |= read_header(path, error)
    return found


def largest_value(tensor: StoredTensor) -> float:
    """Return the largest absolute value, or NaN if there is one. Maps and reads in pieces."""
    import numpy as np

    if not tensor.nbytes:
        return 0.0
    stored = np.memmap(tensor.path, _STORED[tensor.dtype], "r", tensor.offset, tensor.shape)
    flat = stored.reshape(-1)
    found = 0.0
    for start in range(0, flat.size, _PIECE):
        piece = flat[start : start + _PIECE]
        if tensor.dtype == "bfloat16":  # the upper half of a float32
            piece = (piece.astype("<u4") << 16).view("<f4")
        found = float(np.maximum(found, np.abs(piece).max()))
    return found


def _tensor(path: Path, start: int, entry: Mapping[str, Any]) -> StoredTensor:
    begin, end = map(_count, entry["data_offsets"])
    shape = tuple(map(_count, entry["shape"][: _MAX_DIMENSIONS + 1]))
    if len(shape) > _MAX_DIMENSIONS:
        raise ValueError(f"more than {_MAX_DIMENSIONS} dimensions")
    dtype = SAFETENSORS_NAMES.get(entry["dtype"], entry["dtype"])
    return StoredTensor(path, start + begin, end - begin, dtype, shape)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError(f"{reprlib.repr(value)} is no number of bytes or elements")
    return value


def _check(
    path: Path, size: int, tensors: Mapping[str, StoredTensor], error: type[SystemsError]
) -> None:
    for name, tensor in tensors.items():
        if tensor.dtype not in ITEMSIZE:
            known = ", ".join(SAFETENSORS_NAMES)
            raise error(f"{path}: {name} is {tensor.dtype}; supported: {known}")
        if tensor.nbytes != math.prod(tensor.shape) * ITEMSIZE[tensor.dtype]:
            raise error(f"{path}: {name}: size and shape {list(tensor.shape)} disagree")
    end = max((tensor.offset + tensor.nbytes for tensor in tensors.values()), default=0)
    if end > size:
        raise error(f"{path}: cut short: {size} bytes, its header promises {end}")
