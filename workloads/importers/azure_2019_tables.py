"""The two other tables of Azure Functions 2019: execution times and memory, by function.

They lie beside the invocations under the same name with another word in it, in the published files
(``function_durations_percentiles.anon.d01.csv``) as in samples of them (``durations.csv``).
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
    """What the table is called beside invocations of that file name."""
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
    """The functions with their execution time and memory where a table beside ``path`` has them,
    and of each table that was found, how many functions it had. Memory is by application in the
    published files: those give it to a function only where they name functions."""
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
