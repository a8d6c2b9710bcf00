"""Azure Functions Trace 2019 (Shahrad et al., "Serverless in the Wild", USENIX ATC 2020) and slices
of it: one row per function, one column of invocation counts per minute.

Minutes are the columns whose names are numbers, in numerical order. Counts are expanded by a named
rule, which keeps each function's count in each minute.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import WorkloadError
from ..expansion import expand
from ..minutes import MINUTE_S, MinuteCounts
from ..trace import Counts, TraceFunction, Workload
from .assemble import start
from .azure_2019_tables import join
from .bad_rows import BadRows, quoted
from .base import Format, Options
from .files import csv_header, opened, stem
from .missing_lengths import filled

MOST_REQUESTS = 2**24
"""More would not fit into the memory of a small machine after expansion."""
_COUNT_DIGITS = 9
_MINUTE = re.compile("[0-9]{1,6}")

FORMAT = Format(
    name="azure-functions-2019",
    source="Azure Functions Trace 2019, github.com/Azure/AzurePublicDataset",
    licence="CC-BY-4.0",
    attribution="Microsoft Azure; Shahrad et al., USENIX ATC 2020",
    clock="minutes of a day, from the first one given",
    resolution_ns=60_000_000_000,
)


def sniff(_path: Path, head: bytes) -> bool:
    header = csv_header(head)
    return bool(_minutes(header)) and ("HashFunction" in header or "function" in header)


def read(path: Path, options: Options) -> Workload:
    minutes = read_minutes(path, skip_bad=options.skip_bad)
    if options.start_s or options.duration_s is not None:
        minutes = minutes.window(options.start_s, options.duration_s)
    total = sum(int(counts.sum()) for counts in minutes.counts.values())
    if total > MOST_REQUESTS:
        raise WorkloadError(
            f"{path}: {total} invocations, at most {MOST_REQUESTS} fit; ask for"
            " a stretch of it (--from, --for)"
        )
    expanded = expand(minutes, options.seed, options.expansion)
    return filled(_exact(expanded, options), options)


def _exact(workload: Workload, options: Options) -> Workload:
    """Cut whole minutes to the stretch that was asked for; unchanged if it consists of such."""
    into_s = options.start_s % MINUTE_S
    left_s = workload.duration_ns / 1e9 - into_s
    length_s = left_s if options.duration_s is None else min(options.duration_s, left_s)
    if not into_s and length_s == left_s:
        return workload
    return workload.window(into_s, length_s)


def read_minutes(path: Path, *, skip_bad: bool = False) -> MinuteCounts:
    """Read only the counts, of any total, with execution times and memory if their files are in the
    same folder. Raises ``WorkloadError`` with file and line."""
    bad = BadRows(path)
    found = dict(_functions(path, bad))
    skipped = bad.settle(skip=skip_bad)
    if not found:
        raise WorkloadError(f"{path}: has no readable {FORMAT.name} row")
    provenance = start(FORMAT, path, "expanded").then(
        "import",
        format=FORMAT.name,
        clock=FORMAT.clock,
        resolution_ns=FORMAT.resolution_ns,
        rows=len(found),
        **skipped,
    )
    joined, beside = join(path, tuple(found))
    for name, rows in beside.items():
        provenance = provenance.then("join", file=name, functions=rows)
    return MinuteCounts(stem(path), joined, {f.id: found[f] for f in found}, provenance)


def _functions(path: Path, bad: BadRows) -> Iterator[tuple[TraceFunction, Counts]]:
    names: set[str] = set()
    with opened(path) as file:
        rows = csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""))
        try:
            header = next(rows, [])
            if len(set(header)) < len(header) or not _consecutive(header):
                raise WorkloadError(f"{path}: needs a column for each minute, without a gap")
            for row in rows:
                try:
                    function, counts = _function(header, row, names)
                except ValueError as error:
                    bad.add(rows.line_num, str(error))
                else:
                    names.add(function.id)
                    yield function, counts
        except (csv.Error, UnicodeDecodeError) as error:
            raise WorkloadError(f"{path}: is not a CSV ({quoted(str(error))})") from error


def _function(header: list[str], row: list[str], names: set[str]) -> tuple[TraceFunction, Counts]:
    if len(row) != len(header):
        raise ValueError(f"{len(row)} columns, not {len(header)}")
    fields = dict(zip(header, row, strict=True))
    name = fields.get("function") or fields.get("HashFunction") or ""
    if not name or name in names:
        raise ValueError(f"function {quoted(name)} is {'named twice' if name else 'empty'}")
    function = TraceFunction(
        id=name, source_hash=fields.get("HashFunction"), trigger=fields.get("Trigger")
    )
    counts = [_count(fields[minute], minute) for minute in _minutes(header)]
    return function, np.array(counts, dtype=np.int64)


def _count(text: str, minute: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _COUNT_DIGITS):
        raise ValueError(f"minute {minute} {quoted(text)} is not a count")
    return int(text)


def _minutes(header: list[str]) -> list[str]:
    return sorted((name for name in header if _MINUTE.fullmatch(name)), key=int)


def _consecutive(header: list[str]) -> bool:
    """Whether all minutes are present once: a missing one would shift those after it."""
    minutes = [int(name) for name in _minutes(header)]
    return bool(minutes) and minutes == list(range(minutes[0], minutes[-1] + 1))
