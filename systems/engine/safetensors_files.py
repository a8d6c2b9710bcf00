"""Where each tensor of a safetensors checkpoint lies, from the files' headers alone.

Read here rather than by the safetensors package because the bytes then go from the file to where
they are wanted in one ``pread``, with no tensor between. Format: an 8-byte little-endian length,
a JSON header of that length, then the data, contiguous, offsets counted from its start
(https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from systems.errors import SystemsError

from .dtypes import ITEMSIZE, SAFETENSORS_NAMES

MAX_HEADER_BYTES = 100 << 20  # the format's own limit


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor's place in a file: ``nbytes`` from ``offset`` (counted from the file's start)."""

    path: Path
    offset: int
    nbytes: int
    dtype: str
    shape: tuple[int, ...]


def read_header(path: Path, error: type[SystemsError]) -> dict[str, StoredTensor]:
    """Every tensor of one file. Raises ``error`` where the header or the file's size is wrong."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(MAX_HEADER_BYTES, size - 8):
                raise error(f"{path}: not a safetensors file, or cut short ({size} bytes)")
            header = json.loads(file.read(length))
        start = 8 + length
        tensors = {
            name: _tensor(path, start, entry)
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except OSError as problem:
        raise error(f"{path}: {problem.strerror or problem}") from problem
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as problem:
        if isinstance(problem, SystemsError):
            raise
        raise error(f"{path}: corrupt safetensors header: {problem}") from problem
    _check(path, size, tensors, error)
    return tensors


def find_shards(model_dir: Path, error: type[SystemsError]) -> tuple[Path, ...]:
    """The files of a checkpoint, one or those that its index names. Pickled weights are refused:
    loading them runs whatever code they carry."""
    single, index = model_dir / "model.safetensors", model_dir / "model.safetensors.index.json"
    if single.exists():
        return (single,)
    if index.exists():
        try:
            names = sorted(
                set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            )
        except (OSError, ValueError, KeyError, AttributeError) as problem:
            raise error(f"{index}: corrupt index: {problem}") from problem
        missing = [name for name in names if not (model_dir / name).is_file()]
        if missing:
            raise error(f"{model_dir}: {missing[0]} is missing, which {index.name} names")
        return tuple(model_dir / name for name in names)
    if any(model_dir.glob("*.bin")) or any(model_dir.glob("*.pt*")):
        raise error(f"{model_dir}: pickled weights are not loaded; convert them to safetensors")
    raise error(f"{model_dir}: no model.safetensors")


def read_headers(paths: tuple[Path, ...], error: type[SystemsError]) -> dict[str, StoredTensor]:
    """Every tensor of several files."""
    found: dict[str, StoredTensor] = {}
    for path in paths:
        found |= read_header(path, error)
    return found


def _tensor(path: Path, start: int, entry: Mapping[str, Any]) -> StoredTensor:
    begin, end = (int(offset) for offset in entry["data_offsets"])
    dtype = SAFETENSORS_NAMES.get(entry["dtype"], entry["dtype"])
    return StoredTensor(path, start + begin, end - begin, dtype, tuple(map(int, entry["shape"])))


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
