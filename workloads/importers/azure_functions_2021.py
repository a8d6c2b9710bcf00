"""Azure Functions Invocation Trace 2021 (Zhang et al., "Faster and Cheaper Serverless Computing on
Harvested Resources", SOSP 2021): one row per invocation, ``app,func,end_timestamp,duration``.

Times are seconds from the trace's start (the published description says milliseconds, but the data
are seconds). Arrival is end minus duration. ``func`` is unique only within its app, so a function
is the pair, named f0, f1, … in the order of the file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..trace import TraceFunction, Workload
from .assemble import assemble
from .base import Format, Options
from .csv_rows import CsvRows
from .files import csv_header
from .missing_lengths import filled
from .parse import decimal_seconds
from .rows import Ints, Rows

_COLUMNS = ["app", "func", "end_timestamp", "duration"]

FORMAT = Format(
    name="azure-functions-2021",
    source="Azure Functions Invocation Trace 2021, github.com/Azure/AzurePublicDataset",
    licence="CC-BY-4.0",
    attribution="Microsoft Azure; Zhang et al., SOSP 2021",
    clock="seconds from the trace's start; arrival = end - duration",
    resolution_ns=1_000_000,
)


def sniff(_path: Path, head: bytes) -> bool:
    return csv_header(head) == _COLUMNS


def read(path: Path, options: Options) -> Workload:
    source = CsvRows(path, ("end_timestamp", "duration"), names=("app", "func"))
    end = source.values("end_timestamp", decimal_seconds, "a time in seconds")
    took = source.values("duration", decimal_seconds, "a duration in seconds")
    owners, functions = _pairs(source)
    ones = np.ones(len(end), dtype=np.int64)
    rows = Rows(source.lines, end - took, owners, functions, ones, ones)
    return filled(assemble(FORMAT, options, rows, source.bad), options)


def _pairs(source: CsvRows) -> tuple[Ints, tuple[TraceFunction, ...]]:
    (apps, app_names), (funcs, func_names) = source.codes("app"), source.codes("func")
    width = max(len(func_names), 1)
    pairs, first, owners = np.unique(apps * width + funcs, return_index=True, return_inverse=True)
    order = np.argsort(first)
    functions = tuple(
        TraceFunction(
            id=f"f{number}", source_hash=f"{app_names[pair // width]}/{func_names[pair % width]}"
        )
        for number, pair in enumerate(pairs[order].tolist())
    )
    return np.argsort(order)[owners], functions
