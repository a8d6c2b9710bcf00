"""What a stored cell must hold for its readers to compute with it. Digests find a file that
changed; these checks find one that was never sound, and cells from before digests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NotRequired

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, FiniteFloat, NonNegativeInt, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from ..errors import RecordError

_MOST = 1 << 60
"""Larger values overflow in sums and differences. In nanoseconds: 36 years."""


class _Named(TypedDict):
    name: str
    label: NotRequired[str]


class _Deployment(TypedDict):
    backbones: Mapping[str, Any]
    functions: Sequence[Mapping[str, Any]]


class _Problems(TypedDict):
    problems: NotRequired[Sequence[str]]


class _Missing(TypedDict):
    missing: NotRequired[Sequence[str] | None]


class _Manifest(TypedDict):
    system: _Named
    workload: _Named
    deployment: _Deployment
    prices: _Named
    profile: NotRequired[_Named | None]
    calibration: NotRequired[_Problems | None]
    telemetry: NotRequired[_Missing | None]


class _Summary(TypedDict):
    n: NonNegativeInt
    ok: NonNegativeInt
    duration_s: Annotated[FiniteFloat, Field(gt=0)]
    cost_usd: FiniteFloat | None
    cost_effectiveness: FiniteFloat | None


_MANIFESTS: TypeAdapter[_Manifest] = TypeAdapter(_Manifest)
_SUMMARIES: TypeAdapter[_Summary] = TypeAdapter(_Summary)

NEVER_NULL = {
    "requests": ("request_id", "function_id", "scheduled_ns", "status"),
    "spans": ("request_id", "stage", "start_ns", "end_ns"),
    "memory": ("t_ns", "device", "owner", "bytes"),
    "billing": ("resource", "start_ns", "end_ns", "quantity", "unit", "unit_price_usd", "usd"),
}
"""Columns by table that every row has."""


def check_manifest(path: Path, document: Mapping[str, Any]) -> None:
    """Raise ``RecordError`` if a manifest lacks what its readers need of it."""
    _check(_MANIFESTS, document, f"{path}: manifest.json")


def check_summary(path: Path, document: Mapping[str, Any]) -> None:
    """Raise ``RecordError`` if a summary lacks its counts or its duration."""
    _check(_SUMMARIES, document, f"{path}: summary.json")


def _check(adapter: TypeAdapter[Any], document: Mapping[str, Any], file: str) -> None:
    try:
        adapter.validate_python(document)
    except ValidationError as error:
        raise RecordError(f"{file}: {first_problem(error)}") from error


def first_problem(error: ValidationError) -> str:
    """Return the first of the problems: its place in the document, and what is wrong."""
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def check_table(table: pa.Table, name: str, path: Path) -> None:
    """Raise ``RecordError`` if a value is missing that every row has, if a number is not finite or
    too large to compute with, or if two requests have the same id."""
    file = f"{path}/{name}.parquet"
    for column in table.column_names:
        if column in NEVER_NULL[name] and table[column].null_count:
            raise RecordError(f"{file}: column {column}: {table[column].null_count} rows lack it")
        if not _computable(table[column]):
            raise RecordError(f"{file}: column {column} has a number that is not below 2^60")
    if name == "requests" and "request_id" in table.column_names:
        ids = table["request_id"]
        if pc.count_distinct(ids).as_py() != len(ids):
            raise RecordError(f"{file}: two requests have the same request_id")


def _computable(column: pa.ChunkedArray) -> bool:
    """Whether every number is finite and below ``_MOST``; nulls are."""
    if pa.types.is_list(column.type):
        return all(_computable(pa.chunked_array([chunk.flatten()])) for chunk in column.chunks)
    if not pa.types.is_integer(column.type) and not pa.types.is_floating(column.type):
        return True
    if pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py():
        return False
    ends = pc.min_max(column).as_py()
    return ends["min"] is None or (ends["min"] > -_MOST and ends["max"] < _MOST)
