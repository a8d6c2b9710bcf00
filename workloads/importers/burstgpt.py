"""BurstGPT (Wang et al., "BurstGPT: A Real-world Workload Dataset to Optimize LLM Serving Systems",
2024): six columns, or eight with session and elapsed time.

Times are mostly whole seconds, so calls within one second have equal times and are spread by a
named rule. A call without response tokens failed: it is flagged and kept as an arrival. A function
is a model of the trace.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ..trace import Workload
from .assemble import assemble
from .base import Format, Options
from .csv_rows import CsvRows
from .files import csv_header
from .files import head as first_bytes
from .parse import SECOND_NS, decimal_seconds, tokens
from .rows import Rows

_COLUMNS = {"Timestamp", "Model", "Request tokens", "Response tokens", "Log Type"}
_SESSION = "Session ID"

FORMAT = Format(
    name="burstgpt",
    source="BurstGPT, github.com/HPMLL/BurstGPT",
    licence="CC-BY-4.0",
    attribution="HPMLL; Wang et al., 2024",
    clock="seconds from the midnight before the first call",
    resolution_ns=SECOND_NS,
)


def sniff(_path: Path, head: bytes) -> bool:
    return _COLUMNS.issubset(csv_header(head))


def read(path: Path, options: Options) -> Workload:
    with_session = _SESSION in csv_header(first_bytes(path))
    texts = ["Timestamp", "Request tokens", "Response tokens", *[_SESSION] * with_session]
    source = CsvRows(path, texts, names=["Model"])
    at = source.values("Timestamp", decimal_seconds, "a time in seconds")
    prompt = source.values("Request tokens", tokens, "a number of tokens")
    output = source.values("Response tokens", tokens, "a number of tokens")
    extra = {"failed": pa.array(output == 0)}
    if with_session:
        extra["session"] = _named(source.text(_SESSION))
    rows = Rows(source.lines, at, *source.functions("Model"), prompt, output, extra)
    return assemble(FORMAT, options, rows, source.bad, quantised=True)


def _named(sessions: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(sessions, ""), None, sessions)
