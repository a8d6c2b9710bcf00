"""Azure LLM inference traces 2023 (Patel et al., "Splitwise", ISCA 2024) and 2024 (Stojkovic et
al., "DynamoLLM", HPCA 2025): ``TIMESTAMP,ContextTokens,GeneratedTokens``.

Timestamps have up to nine decimals, which vary by row, with a zone (2024) or without (2023, UTC).
All decimals are used, since truncation would create equal times. A file is one function.
"""

from __future__ import annotations

from pathlib import Path

from ..trace import Workload
from .assemble import assemble
from .base import Format, Options
from .csv_rows import CsvRows
from .files import csv_header, stem
from .parse import tokens, wall_clock
from .rows import Rows

_COLUMNS = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]

FORMAT = Format(
    name="azure-llm",
    source="Azure LLM inference trace 2023 or 2024, github.com/Azure/AzurePublicDataset",
    licence="CC-BY-4.0",
    attribution="Microsoft Azure; Patel et al., ISCA 2024; Stojkovic et al., HPCA 2025",
    clock="UTC wall clock, from the first arrival on",
    resolution_ns=100,
)


def sniff(_path: Path, head: bytes) -> bool:
    return csv_header(head) == _COLUMNS


def read(path: Path, options: Options) -> Workload:
    source = CsvRows(path, _COLUMNS)
    at = source.values("TIMESTAMP", wall_clock, "a date and time")
    prompt = source.values("ContextTokens", tokens, "a number of tokens")
    output = source.values("GeneratedTokens", tokens, "a number of tokens")
    rows = Rows(source.lines, at, *source.whole(stem(path)), prompt, output)
    return assemble(FORMAT, options, rows, source.bad)
