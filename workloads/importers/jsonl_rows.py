"""JSON lines, one object per row, with exact numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..columns import OPTIONAL
from .bad_rows import BadRows, quoted
from .files import opened
from .parse import MOST_TOKENS, exact_seconds
from .rows import Rows, named

Object = dict[str, Any]
_REQUIRED = ("at_ns", "function", "prompt_tokens", "output_tokens")
_INT64 = 2**63


def read_jsonl(path: Path, parse: Callable[[Object, int], Object]) -> tuple[Rows, BadRows]:
    """Read rows with ``parse(object, line)``, which returns at_ns, function, prompt_tokens,
    output_tokens and optional columns. A ``ValueError`` from it marks a bad row. Raises
    ``WorkloadError`` if the file cannot be read."""
    bad, lines, found = BadRows(path), [], []
    for line, text in _lines(path):
        try:
            found.append(parse(_object(text), line))
            lines.append(line)
        except (ValueError, RecursionError) as error:
            bad.add(line, " ".join(str(error).split())[:120])
    return _rows(lines, found), bad


def whole(row: Object, key: str, most: int = MOST_TOKENS, least: int = 0) -> int:
    """Return an integer field. Raises ``ValueError`` if it is no integer or out of range."""
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{key} {quoted(value)} is not a whole number in {least}..{most}")
    return value


def time_ns(row: Object, key: str, unit_ns: int) -> int:
    """Return a time field, given in units of ``unit_ns``, in nanoseconds."""
    try:
        return exact_seconds(row.get(key), unit_ns)
    except ValueError as error:
        raise ValueError(f"{key} {quoted(row.get(key))} is {error}") from error


def word(row: Object, key: str) -> str:
    """Return a name field."""
    value = row.get(key)
    if not isinstance(value, str) or not value or not _storable(value):
        raise ValueError(f"{key} {quoted(value)} is not a name")
    return value


def hashes(row: Object, key: str) -> list[int]:
    """Return the ids of a prompt's prefix blocks."""
    value = row.get(key)
    if not isinstance(value, list) or not all(
        type(each) is int and -_INT64 <= each < _INT64 for each in value
    ):
        raise ValueError(f"{key} {quoted(value)} is not a list of whole numbers")
    return value


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with opened(path) as file:
        for line, text in enumerate(file, start=1):
            if text.strip():
                yield line, text


def _object(text: bytes) -> Object:
    try:
        row = json.loads(text.decode("utf-8-sig"), parse_float=Decimal)
    except InvalidOperation as error:
        raise ValueError("a number's exponent is out of range") from error
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    return row


def _storable(text: str) -> bool:
    """Whether the text is valid Unicode: JSON can also contain lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _rows(lines: list[int], found: list[Object]) -> Rows:
    columns = {name: [row[name] for row in found] for name in (found[0] if found else _REQUIRED)}
    owners, functions = named(columns["function"])
    numbers = {
        name: np.array(columns[name], dtype=np.int64) for name in _REQUIRED if name != "function"
    }
    extra = {
        name: pa.array(values, type=OPTIONAL.field(name).type)
        for name, values in columns.items()
        if name not in _REQUIRED
    }
    return Rows(
        lines=np.array(lines, dtype=np.int64),
        owners=owners,
        functions=functions,
        extra=extra,
        **numbers,
    )
