"""A CSV of your own: ``arrival_s,function,prompt_tokens,output_tokens``, or any other names, if
they are given (``Options.columns``); further columns are ignored. Without a column of functions
the file is one function; without lengths the requests lack them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..trace import Workload
from .assemble import assemble
from .base import Format, Options
from .csv_rows import CsvRows
from .files import csv_header, stem
from .files import head as first_bytes
from .missing_lengths import filled
from .named_columns import LENGTHS, NAMES, NamedColumns
from .parse import decimal_seconds, tokens
from .rows import Ints, Rows

FORMAT = Format(
    name="csv",
    source="a CSV of requests",
    licence="",
    attribution="",
    clock="seconds from the trace's start",
    resolution_ns=1,
)


def sniff(_path: Path, head: bytes) -> bool:
    return set(NAMES.values()).issubset(csv_header(head))


def read(path: Path, options: Options) -> Workload:
    if options.columns is not None:
        return _read_named(path, options, options.columns)
    source = CsvRows(path, [NAMES[each] for each in NAMES if each != "function"], ["function"])
    at = source.values("arrival_s", decimal_seconds, "a time in seconds")
    prompt, output = (_lengths(source, NAMES[each]) for each in LENGTHS)
    rows = Rows(source.lines, at, *source.functions("function"), prompt, output)
    return assemble(FORMAT, options, rows, source.bad)


def _read_named(path: Path, options: Options, columns: NamedColumns) -> Workload:
    there = columns.among(csv_header(first_bytes(path), columns.delimiter))
    function = there.pop("function", None)
    source = CsvRows(path, list(there.values()), [function] if function else [], columns.delimiter)
    at = source.values(there["arrival"], columns.parse_time, columns.wanted_time)
    owners = source.functions(function) if function else source.whole(stem(path))
    known = "prompt_tokens" in there
    prompt, output = (
        _lengths(source, there[each]) if known else np.ones(len(at), dtype=np.int64)
        for each in LENGTHS
    )
    form = replace(FORMAT, clock=f"wall clock or since any moment, in {columns.time_unit}")
    workload = assemble(form, options, Rows(source.lines, at, *owners, prompt, output), source.bad)
    return workload if known else filled(workload, options)


def _lengths(source: CsvRows, name: str) -> Ints:
    return source.values(name, tokens, "a number of tokens")
