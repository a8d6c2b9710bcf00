"""The numbers of a segment, which stand for its requests where those are not kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from harness.errors import RecordError
from harness.records import Cell, new_run, place_cell
from harness.records.files import STUDY, digests, write_table
from harness.records.segments import (
    ALL,
    FILE,
    beside,
    distinct,
    evenly,
    rows,
    segment_names,
    segments,
)
from tests.harness.made import cut_tables, made_cell, made_run

Key = tuple[str, str, float | None]


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    return made_cell(new_run({"name": "made"}, tmp_path), "serverless-lora")


def _numbers(cell: Cell, most: int | None = None) -> dict[Key, tuple[float, int]]:
    found = list(rows(cell, most))
    about = {(row["system"], row["workload"], row["segment"]) for row in found}
    assert about == {("serverless-lora", "time-breakdown", "0")}
    return {(row["backbone"], row["metric"], row["at"]): (row["value"], row["n"]) for row in found}


def test_a_segment_is_its_totals_its_means_and_its_distribution(cell: Cell) -> None:
    ok = {"ttft_from_schedule_s": 0.4005, "tpot_s": 0.05, "e2e_s": 0.6}
    wanted: dict[Key, Any] = {
        (ALL, "cost_usd", None): (cell.summary["cost_usd"], 3),
        (ALL, "cost_effectiveness", None): (cell.summary["cost_effectiveness"], 3),
        ("tiny", "ttft_within", 0.0): (0.0, 3),
        ("tiny", "ttft_within", 0.1): (1 / 3, 3),
        ("tiny", "ttft_within", 0.701): (2 / 3, 3),
    }
    for backbone in (ALL, "tiny"):
        wanted |= {(backbone, name, None): (value, 2) for name, value in ok.items()}
        wanted[backbone, "slo_violation_rate", None] = (2 / 3, 3)
    found = _numbers(cell)
    assert set(found) == set(wanted)
    for key, (value, n) in wanted.items():
        assert found[key] == (pytest.approx(value), n), key


def test_the_beginning_of_an_answer_that_failed_has_no_latency(cell: Cell, tmp_path: Path) -> None:
    cut = made_cell(new_run({"name": "cut"}, tmp_path / "cut"), "serverless-lora", cut_tables())
    assert cut.requests["ttft_s"].count() == 1 + cut.summary["ok"]
    assert _numbers(cut) == _numbers(cell)


def test_a_stored_distribution_has_at_most_so_many_steps(cell: Cell) -> None:
    steps = [at for _, name, at in _numbers(cell, 1) if name == "ttft_within"]
    assert steps == [0.0, 0.1]


def test_steps_are_chosen_evenly_with_the_first_and_the_last() -> None:
    assert evenly(9, 3).tolist() == [0, 4, 8]
    assert evenly(2, 500).tolist() == [0, 1]
    assert evenly(1, 500).tolist() == [0]
    assert evenly(0, 500).tolist() == []


def test_a_mean_of_no_request_is_unknown(cell: Cell) -> None:
    failed = cell.table("requests").filter([False, False, True])
    content = {name: cell.table(name) for name in ("spans", "memory", "billing")}
    run = new_run({"name": "made"}, cell.path.parents[4] / "other")
    found = _numbers(made_cell(run, "serverless-lora", {**content, "requests": failed}))
    assert found["tiny", "ttft_from_schedule_s", None] == (None, 0)
    assert found["tiny", "slo_violation_rate", None] == (1.0, 1)
    assert ("tiny", "ttft_within", 0.0) in found


def test_equal_cells_of_one_system_are_one_segment_of_two_systems_two(tmp_path: Path) -> None:
    run = made_run(tmp_path)
    cells = run.cells()
    assert distinct([cells[0], cells[1], cells[0]]) == list(cells)
    assert set(segments(run)["system"]) == {"serverless-llm", "serverless-lora"}


def test_stored_numbers_stand_for_all_segments(tmp_path: Path) -> None:
    run = made_run(tmp_path)
    cells = {cell.system: cell for cell in run.cells()}
    mine = cells["serverless-lora"]
    assert segment_names(mine) == ()
    frame = pd.DataFrame([row for cell in cells.values() for row in rows(cell)])
    later = frame[frame["system"] == mine.system].assign(segment="1")
    stored = pd.concat([later, frame.assign(workload="another"), frame])
    write_table(pa.Table.from_pandas(stored, preserve_index=False), run.path / FILE)
    assert segment_names(mine) == ("0", "1")
    assert segment_names(cells["serverless-llm"]) == ("0",)
    found = beside(mine)
    assert set(found["system"]) == {mine.system}
    assert set(found["workload"]) == {mine.workload}
    assert set(found["backbone"]) == {ALL}
    assert len(segments(run)) == len(stored)


def test_stored_numbers_are_checked_by_the_digest_of_their_study(tmp_path: Path) -> None:
    run = made_run(tmp_path)
    write_table(pa.table({"value": [1.0]}), run.path / FILE)
    study = run.path / STUDY
    study.write_text(json.dumps({"files": digests(run.path)}), encoding="utf-8")
    assert segments(run)["value"].tolist() == [1.0]
    write_table(pa.table({"value": [2.0]}), run.path / FILE)
    with pytest.raises(RecordError, match=r"segments\.parquet: has changed since it was written"):
        segments(run)
    study.write_text("[]", encoding="utf-8")
    with pytest.raises(RecordError, match=r"study\.json: has no readable digests$"):
        segments(run)


def _files(cell: Cell) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in cell.path.iterdir()}


def test_a_cell_of_another_process_is_placed_whole_or_not_at_all(cell: Cell) -> None:
    files = _files(cell)
    placed = place_cell(cell.path.parent / "1", files)
    assert placed.path == cell.path.parent / "1"
    assert placed.summary == cell.summary
    assert _files(placed) == files
    files["requests.parquet"] += b"!"
    with pytest.raises(RecordError, match=r"requests\.parquet: has changed since it was written"):
        place_cell(cell.path.parent / "2", files)
    assert not (cell.path.parent / "2").exists()
