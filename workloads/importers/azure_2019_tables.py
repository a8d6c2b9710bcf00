"""The two other tables of Azure Functions 2019: execution times and memory, by function.

They are in the folder of the invocations, under the same file name with another word in it, both in
the published files (``function_durations_percentiles.anon.d01.csv``) and in samples
(``durations.csv``).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import WorkloadError
from ..trace import TraceFunction
from .bad_rows import quoted
from .files import opened


@dataclass(frozen=True)
class _Table:
    names: Callable[[str], tuple[str, ...]]
    """Possible names of the table for the file name of the invocations."""
    column: str
    field: str


def _beside(short: str, published: str) -> Callable[[str], tuple[str, ...]]:
    return lambda name: (
        name.replace("invocations_per_function_md", published),
        name.replace("invocations", short),
    )


_TABLES = (
    _Table(_beside("durations", "function_durations_percentiles"), "Average", "duration_ms"),
    _Table(_beside("memory", "app_memory_percentiles"), "AverageAllocatedMb", "memory_mb"),
)


def join(
    path: Path, functions: tuple[TraceFunction, ...]
) -> tuple[tuple[TraceFunction, ...], dict[str, int]]:
    """Add execution time and memory to the functions if a table next to ``path`` has them; also
    return how many functions each table had. Memory is per application in the published files, so
    it is used only if a file names functions."""
    found: dict[str, int] = {}
    for table in _TABLES:
        for name in table.names(path.name):
            beside = path.with_name(name)
            if name != path.name and beside.is_file():
                values = dict(_rows(beside, table.column))
                known = {f.id for f in functions if f.source_hash in values}
                functions = tuple(_given(f, table.field, values) for f in functions)
                found[name] = len(known)
                break
    return functions, found


def _given(function: TraceFunction, field: str, values: dict[str, float]) -> TraceFunction:
    value = values.get(function.source_hash or "")
    return function if value is None else function.model_copy(update={field: value})


def _rows(path: Path, column: str) -> Iterator[tuple[str, float]]:
    with opened(path) as file:
        rows = csv.DictReader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""))
        try:
            for row in rows:
                if row.get("HashFunction") and row.get(column):
                    yield str(row["HashFunction"]), float(row[column])
        except (csv.Error, UnicodeDecodeError, ValueError) as error:
            raise WorkloadError(
                f"{path}:{rows.line_num}: {column} cannot be read ({quoted(str(error))})"
            ) from error
