"""Lengths and traces of Vidur (Agrawal et al., MLSys 2024): ``num_prefill_tokens`` and
``num_decode_tokens``, with ``arrived_at`` (s) or without.

Without a clock, rows arrive one per second in the file's order, and the provenance says so: the
lengths are recorded, the arrivals are not. A file is one function.
"""

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
from .parse import SECOND_NS, decimal_seconds, tokens
from .rows import Rows

_LENGTHS = ("num_prefill_tokens", "num_decode_tokens")
_CLOCK = "arrived_at"

FORMAT = Format(
    name="vidur",
    source="processed traces of Vidur, github.com/microsoft/vidur",
    licence="MIT",
    attribution="Microsoft; Agrawal et al., MLSys 2024",
    clock="seconds from the trace's start",
    resolution_ns=1_000,
)
_WITHOUT_CLOCK = replace(FORMAT, clock="none; placed one a second", resolution_ns=SECOND_NS)


def sniff(_path: Path, head: bytes) -> bool:
    return set(_LENGTHS).issubset(csv_header(head))


def read(path: Path, options: Options) -> Workload:
    clocked = _CLOCK in csv_header(first_bytes(path))
    source = CsvRows(path, [*_LENGTHS, *[_CLOCK] * clocked])
    prompt, output = (source.values(name, tokens, "a number of tokens") for name in _LENGTHS)
    rows = Rows(source.lines, _times(source, clocked), *source.whole(stem(path)), prompt, output)
    if clocked:
        return assemble(FORMAT, options, rows, source.bad)
    return assemble(
        _WITHOUT_CLOCK, options, rows, source.bad, kind="composed", arrivals="equidistant"
    )


def _times(source: CsvRows, clocked: bool) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    if clocked:
        return source.values(_CLOCK, decimal_seconds, "a time in seconds")
    return np.arange(len(source.lines), dtype=np.int64) * SECOND_NS
