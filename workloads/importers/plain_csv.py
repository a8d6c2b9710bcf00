"""A CSV of your own: ``arrival_s,function,prompt_tokens,output_tokens``; further columns are
ignored. This is the shortest importer and a template for new ones."""

from __future__ import annotations

from pathlib import Path

from ..trace import Workload
from .assemble import assemble
from .base import Format, Options
from .csv_rows import CsvRows
from .files import csv_header
from .parse import decimal_seconds, tokens
from .rows import Rows

_COLUMNS = {"arrival_s", "function", "prompt_tokens", "output_tokens"}

FORMAT = Format(
    name="csv",
    source="a CSV of requests",
    licence="",
    attribution="",
    clock="seconds from the trace's start",
    resolution_ns=1,
)


def sniff(_path: Path, head: bytes) -> bool:
    return _COLUMNS.issubset(csv_header(head))


def read(path: Path, options: Options) -> Workload:
    source = CsvRows(path, ("arrival_s", "prompt_tokens", "output_tokens"), names=["function"])
    at = source.values("arrival_s", decimal_seconds, "a time in seconds")
    prompt = source.values("prompt_tokens", tokens, "a number of tokens")
    output = source.values("output_tokens", tokens, "a number of tokens")
    rows = Rows(source.lines, at, *source.functions("function"), prompt, output)
    return assemble(FORMAT, options, rows, source.bad)
