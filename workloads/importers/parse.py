"""Parses text to integers, column by column and without floating point.

Each parser returns the values and a mask of the texts that could be read; the other values are 0.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Parsed = tuple[NDArray[np.int64], NDArray[np.bool_]]
Parser = Callable[[pa.Array], Parsed]

SECOND_NS = 1_000_000_000
MOST_TOKENS = 2**31 - 1
MOST_SECONDS = 10**9 - 1
"""About 31 years; longer than any trace."""
MOST_WALL_SECONDS = 2**63 // SECOND_NS - 1

_DECIMAL = r"^(?P<whole>[0-9]{1,9})(?:\.(?P<fraction>[0-9]+))?$"
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,3})?")
_WALL = (
    r"^(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[ T](?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:\.(?P<fraction>[0-9]{1,9}))?"
    r"(?P<zone>Z|(?P<sign>[+-])(?P<hours>[0-9]{2}):?(?P<minutes>[0-9]{2}))?$"
)


def tokens(texts: pa.Array) -> Parsed:
    """Token counts: only digits, at most 2³¹ − 1."""
    fits = pc.match_substring_regex(texts, r"^[0-9]{1,10}$")
    values = _int64(pc.if_else(fits, texts, "0"))
    ok = _mask(fits) & (values <= MOST_TOKENS)
    return np.where(ok, values, 0), ok


def decimal_seconds(texts: pa.Array) -> Parsed:
    """Decimal seconds, with or without an exponent, rounded to the nearest nanosecond."""
    parts = pc.extract_regex(texts, _DECIMAL)
    ok = _mask(pc.is_valid(parts))
    values = _part(parts, "whole") * SECOND_NS + _fraction_ns(parts)
    for index in np.flatnonzero(~ok):
        values[index], ok[index] = _one(texts[int(index)].as_py(), exact_seconds)
    return values, ok


def times(texts: pa.Array, unit_ns: int = SECOND_NS) -> Parsed:
    """Times in units of ``unit_ns``, since any moment, such as milliseconds since 1970; rounded to
    the nearest nanosecond."""
    pairs = [_one(text, lambda each: exact_seconds(each, unit_ns, MOST_WALL_SECONDS))
             for text in texts.to_pylist()]  # fmt: skip
    values, ok = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(values, dtype=np.int64), np.array(ok, dtype=bool)


def wall_clock(texts: pa.Array) -> Parsed:
    """``2024-05-10 00:00:00.0099300+00:00`` and shorter, in nanoseconds since 1970; UTC if no zone
    is given. Fractions have up to nine digits, which may vary by row."""
    parts = pc.extract_regex(texts, _WALL)
    matched = _mask(pc.is_valid(parts))
    moments = pc.binary_join_element_wise(*(_text(parts, n) for n in ("date", "time")), "T")
    seconds, ok = _moments(moments, matched)
    offset = _part(parts, "hours") * 3600 + _part(parts, "minutes") * 60
    seconds -= np.where(_mask(pc.equal(_text(parts, "sign"), "-")), -offset, offset)
    ok &= (seconds >= 0) & (seconds <= MOST_WALL_SECONDS)
    return np.where(ok, seconds, 0) * SECOND_NS + np.where(ok, _fraction_ns(parts), 0), ok


def dates(texts: pa.Array) -> Parsed:
    """As ``wall_clock``, of a file that has an offset from UTC in every row or in none: the others
    than the first row's are not read, since local times between UTC ones would be hours off."""
    values, ok = wall_clock(texts)
    zoned = _mask(pc.match_substring_regex(texts, r"(Z|[+-][0-9]{2}:?[0-9]{2})$"))
    ok &= zoned == zoned[ok][:1].any()
    return np.where(ok, values, 0), ok


def exact_seconds(value: Any, unit_ns: int = SECOND_NS, most_s: int = MOST_SECONDS) -> int:
    """Convert one number or its text, in units of ``unit_ns``, to nanoseconds. Raises
    ``ValueError`` if it is not a number or more than ``most_s`` seconds from 0."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError("not a number")
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise ValueError("not a number")
    number = Decimal(value)
    most = most_s * SECOND_NS // unit_ns
    if not number.is_finite() or not -most <= number <= most:
        raise ValueError("out of range for a trace")
    return int((number * unit_ns).to_integral_value(ROUND_HALF_UP))


def _moments(texts: pa.Array, matched: NDArray[np.bool_]) -> Parsed:
    filled = pc.if_else(pa.array(matched), texts, "1970-01-01T00:00:00")
    try:
        return _array(pc.cast(pc.cast(filled, pa.timestamp("s")), pa.int64())), matched
    except pa.ArrowInvalid:
        # A nonexistent date, such as 30 February: parse one by one, to find which.
        pairs = [_one(text, _moment) for text in filled.to_pylist()]
        values, ok = zip(*pairs, strict=True)
        return np.array(values, dtype=np.int64), matched & np.array(ok)


def _moment(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def _one(text: str, parse: Callable[[str], int]) -> tuple[int, bool]:
    try:
        return parse(text), True
    except ValueError:
        return 0, False


def _fraction_ns(parts: pa.StructArray) -> NDArray[np.int64]:
    # The tenth digit decides the rounding; later digits cannot change it.
    digits = pc.utf8_slice_codeunits(pc.utf8_rpad(_text(parts, "fraction"), 10, "0"), 0, 10)
    return (_int64(digits) + 5) // 10


def _text(parts: pa.StructArray, name: str) -> pa.Array:
    return pc.fill_null(pc.struct_field(parts, name), "")


def _part(parts: pa.StructArray, name: str) -> NDArray[np.int64]:
    text = _text(parts, name)
    return _int64(pc.if_else(pc.equal(text, ""), "0", text))


def _int64(texts: pa.Array) -> NDArray[np.int64]:
    return _array(pc.cast(texts, pa.int64()))


def _array(values: pa.Array) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def _mask(values: pa.Array) -> NDArray[np.bool_]:
    return np.array(pc.fill_null(values, False), dtype=bool)
