"""Names of the columns of a CSV of one's own, the unit of its times, and its delimiter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from ..errors import WorkloadError
from .parse import Parser, dates, times

NAMES = MappingProxyType(
    {
        "arrival": "arrival_s",
        "function": "function",
        "prompt_tokens": "prompt_tokens",
        "output_tokens": "output_tokens",
    }
)
"""What a column holds → its name where no other is given."""
LENGTHS = ("prompt_tokens", "output_tokens")
TIME_UNITS: Mapping[str, Parser] = MappingProxyType(
    {
        **{unit: partial(times, unit_ns=ns)
           for unit, ns in (("s", 10**9), ("ms", 10**6), ("us", 10**3), ("ns", 1))},
        "date": dates,
    }
)  # fmt: skip
"""Parsers of times by unit; ``date``: as in ``2024-05-10 12:00:00.5+00:00``."""
_DELIMITERS = {"tab": "\t", "\\t": "\t"}
_OTHER_MARKS = {";": "';'", "\t": "tab", "|": "'|'"}
"""Delimiters of other programs, as they are written on the command line."""
EXAMPLE = "--columns arrival=ts,function=user,prompt_tokens=in,output_tokens=out"


@dataclass(frozen=True, slots=True)
class NamedColumns:
    """``names``: what → the column's name; columns that are not named have the default's name if
    there is one. Arrivals count from the first."""

    names: Mapping[str, str]
    time_unit: str = "s"
    delimiter: str = ","

    @property
    def parse_time(self) -> Parser:
        return TIME_UNITS[self.time_unit]

    @property
    def wanted_time(self) -> str:
        """What a time is, in errors."""
        if self.time_unit == "date":
            return (
                "a date such as 2024-05-10 12:00:00 (with an offset, such as +02:00, in every row"
                " or in none)"
            )
        return f"a time in {self.time_unit} (--time-unit names another unit, or date)"

    def among(self, header: Sequence[str]) -> dict[str, str]:
        """Return the columns of the file by what they hold. Raise ``WorkloadError`` if a named one
        or the arrivals are not there, or only one of the two lengths."""
        for what, name in self.names.items():
            if name not in header:
                raise WorkloadError(f"--columns {what}={name}: no such column; {_has(header)}")
        there = {what: name for what, name in NAMES.items() if name in header} | dict(self.names)
        if "arrival" not in there:
            raise WorkloadError(f"--columns: name the column of the arrivals; {_has(header)}")
        if len(there.keys() & set(LENGTHS)) == 1:
            raise WorkloadError(
                f"--columns: name prompt_tokens and output_tokens, or neither; {_has(header)}"
            )
        return there


def named_columns(
    columns: Sequence[str], time_unit: str | None, delimiter: str | None
) -> NamedColumns | None:
    """Parse the options of the command line; None if none is given. Raise ``WorkloadError``, which
    says what is wanted."""
    if not columns and time_unit is None and delimiter is None:
        return None
    pairs = [_pair(each) for text in columns for each in text.split(",")]
    names = dict(pairs)
    if len(names) < len(pairs):
        raise WorkloadError(f"--columns {','.join(columns)}: name each of {', '.join(NAMES)} once")
    unit = time_unit or "s"
    if unit not in TIME_UNITS:
        raise WorkloadError(f"--time-unit {unit!r} is unknown; known: {', '.join(TIME_UNITS)}")
    mark = _DELIMITERS.get(delimiter or ",", delimiter or ",")
    if len(mark) != 1:
        raise WorkloadError(f"--delimiter {mark!r}: give one character, or tab")
    return NamedColumns(names, unit, mark)


def _pair(text: str) -> tuple[str, str]:
    what, equals, name = text.strip().partition("=")
    if not equals or not name or what not in NAMES:
        raise WorkloadError(
            f"--columns {text.strip()!r}: write what=column, such as {EXAMPLE}; what is one of"
            f" {', '.join(NAMES)}"
        )
    return what, name


def _has(header: Sequence[str]) -> str:
    """Say which columns there are; of one that looks like several, how they are told apart."""
    has = f"the file has: {', '.join(header) or 'no header'}"
    mark = next((each for each in _OTHER_MARKS if len(header) == 1 and each in header[0]), None)
    return f"{has}; to divide it, --delimiter {_OTHER_MARKS[mark]}" if mark else has
