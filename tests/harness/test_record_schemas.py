"""Records of schema 1 are read as those of schema 2 are."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal

from harness.comparison import compare, factor
from harness.errors import RecordError
from harness.records import Cell, read_cell, write_cell
from harness.records.schema import TABLES

CELLS = Path(__file__).parents[2] / "results" / "reference" / "time-breakdown-h100"


@pytest.fixture(scope="module")
def old() -> Cell:
    """A reference cell, as it was written by schema 1."""
    return read_cell(next(CELLS.glob("serverless-lora/*/*")))


@pytest.fixture
def new(old: Cell, tmp_path: Path) -> Cell:
    """The same records, written today by other code, which knows labels, levels and tenants."""
    about = old.manifest
    functions = [{**each, "tenant": "acme"} for each in about.deployment["functions"]]
    told = about.model_copy(
        update={
            "git": {"commit": "decade", "dirty": False},
            "system": {**about.system, "label": old.system},
            "isolation": "function",
            "deployment": {**about.deployment, "functions": functions},
        }
    )
    tables = {name: old.table(name) for name in TABLES}
    path = tmp_path / old.system / old.workload / "0"
    write_cell(path, told, tables, old.summary)
    return read_cell(path)


def names_on_disk(cell: Cell) -> set[str]:
    return set(pq.read_schema(cell.path / "requests.parquet").names)


def test_a_cell_of_schema_1_reads_as_the_same_cell_of_schema_2(old: Cell, new: Cell) -> None:
    assert (old.manifest.schema_version, new.manifest.schema_version) == (1, 2)
    assert "temperature" in names_on_disk(old) - names_on_disk(new)
    assert "start_type" in names_on_disk(new) - names_on_disk(old)
    assert set(new.requests["start_type"]) <= {"cold", "warm", "hot"}
    assert_frame_equal(old.requests, new.requests)
    chosen = ["start_type", "request_id"]
    assert old.table("requests", chosen).equals(new.table("requests", chosen))


def test_a_summary_of_schema_1_has_todays_keys(old: Cell, new: Cell) -> None:
    stored = json.loads((old.path / "summary.json").read_bytes())
    assert old.summary["ttft_by_start_type"] == stored["ttft_by_temperature"]
    assert list(json.loads((new.path / "summary.json").read_bytes())) == list(old.summary)


def test_versions_of_both_schemas_compare_as_versions_do(old: Cell, new: Cell) -> None:
    found = compare([old, new], None, factor("version"))
    ratios = {row.name: row.ratio for group in found.groups for row in group if row.ratio}
    assert ratios["ttft_by_start_type.cold.mean"].value == 1.0
    tenants = {f"system.tenants.{each['id']}" for each in old.manifest.deployment["functions"]}
    assert {each.key for each in found.differences} == {"system.isolation", *tenants}


@pytest.mark.parametrize("schema", [0, 3, "1", True, None, [1]])
def test_no_other_schema_is_read(new: Cell, schema: object) -> None:
    file = new.path / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_bytes()) | {"schema": schema}))
    with pytest.raises(RecordError, match="this code knows 1 and 2"):
        read_cell(new.path)


@pytest.mark.parametrize("name", ["manifest", "summary"])
def test_a_file_that_is_no_object_is_refused_by_its_name(new: Cell, name: str) -> None:
    (new.path / f"{name}.json").write_text("[]")
    with pytest.raises(RecordError, match=rf"{name}\.json holds no JSON object"):
        read_cell(new.path)
