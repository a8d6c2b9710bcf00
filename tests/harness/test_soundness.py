"""A cell without digests that holds what nothing can be computed with is refused in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.errors import RecordError
from harness.records import Cell
from harness.records.cell import read_cell, unseal
from harness.records.schema import TABLES

from .made import made_run


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    (found,) = made_run(tmp_path, ("serverless-lora",)).cells()
    unseal(found)
    return read_cell(found.path)


COLUMNS: dict[str, tuple[str, str, Any, str]] = {
    "no function": ("requests", "function_id", None, "column function_id: 1 rows lack it"),
    "no time": ("spans", "start_ns", None, "column start_ns: 1 rows lack it"),
    "not a number": ("billing", "usd", float("nan"), "column usd has a number that is not below"),
    "endless": ("billing", "quantity", float("inf"), "column quantity has a number that is not"),
    "too large": ("memory", "t_ns", 2**63 - 1, "column t_ns has a number that is not below 2^60"),
    "too small": ("requests", "sent_ns", -(2**62), "column sent_ns has a number that is not"),
    "too large in a list": ("requests", "itl_ns", [2**62], "column itl_ns has a number that is"),
    "twice": ("requests", "request_id", 1, "two requests have the same request_id"),
}


@pytest.mark.parametrize(("table", "column", "value", "said"), COLUMNS.values(), ids=COLUMNS)
def test_a_table_is_refused_by_name(
    cell: Cell, table: str, column: str, value: Any, said: str
) -> None:
    cell.table(table)
    path = cell.path / f"{table}.parquet"
    stored = pq.read_table(path)
    values = [value, *stored[column].to_pylist()[1:]]
    at = stored.column_names.index(column)
    kind = TABLES[table].field(column).type
    pq.write_table(stored.set_column(at, column, pa.array(values, kind)), path)
    with pytest.raises(RecordError, match=rf"{table}\.parquet: {re.escape(said)}"):
        cell.table(table)


DOCUMENTS: dict[str, tuple[str, str, Any]] = {
    "no count": ("summary.json", "n", None),
    "a duration of 0": ("summary.json", "duration_s", 0),
    "a word": ("summary.json", "cost_usd", "much"),
    "no system": ("manifest.json", "system", {}),
    "a number for a name": ("manifest.json", "workload", {"name": 5}),
    "no backbones": ("manifest.json", "deployment", {"functions": []}),
    "no list": ("manifest.json", "calibration", {"problems": 5}),
}


@pytest.mark.parametrize(("file", "key", "value"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_document_is_refused_by_name(cell: Cell, file: str, key: str, value: Any) -> None:
    path = cell.path / file
    content = json.loads(path.read_bytes())
    path.write_text(json.dumps({**content, key: value}), encoding="utf-8")
    with pytest.raises(RecordError, match=rf"{file}: {key}") as refused:
        read_cell(cell.path)
    assert "\n" not in str(refused.value)
