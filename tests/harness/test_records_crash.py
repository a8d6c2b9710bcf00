"""A process that writes records may be killed at any moment: the records on disk are complete."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from harness.errors import RecordError
from harness.records import new_run, open_run, read_cell, write_cell
from harness.records.drafts import draft_of, sweep
from tests.harness.made import SOUND, made_cell, made_run, manifest, tables

KILLS = 30
EXPERIMENT = {"name": "made"}


def test_killed_at_any_moment_it_loses_at_most_the_cell_it_was_writing(tmp_path: Path) -> None:
    made_run(tmp_path / "before").cells()  # so that no writer has to import what this takes
    random = np.random.default_rng(15)
    run = new_run(EXPERIMENT, tmp_path)
    said: set[int] = set()
    read: set[int] = set()
    for _ in range(KILLS):
        said |= _killed_while_writing(run.path, random.integers(3), random.uniform(0.001, 0.03))
        found = {int(cell.path.name): cell for cell in run.cells()}
        assert said <= found.keys(), "every cell reported as written exists"
        for number in found.keys() - read:
            assert found[number].summary == SOUND | {"number": number}
            assert found[number].table("requests").num_rows == 3
        read |= found.keys()
    run.sweep()
    assert not list(run.path.glob("**/.*")), "no partly written file is left"


def _killed_while_writing(path: Path, cells: int, after_s: float) -> set[int]:
    """Fork a writer and kill it a while after it has written some cells; return the numbers of
    those that it reported as written."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            _write_forever(path, writing)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as told:
        assert told.readline() == "begun\n"
        lines = [told.readline() for _ in range(cells)]
        time.sleep(after_s)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return {int(line) for line in (*lines, *told.readlines())}


def _write_forever(path: Path, told: int) -> None:
    run, content = open_run(path), tables()
    run.sweep()
    done = {cell.path.name for cell in run.cells()}
    os.write(told, b"begun\n")
    for number in range(10_000):
        if str(number) not in done:
            place = path / "serverless-lora" / "made" / str(number)
            write_cell(place, manifest(run, "serverless-lora"), content, SOUND | {"number": number})
            os.write(told, f"{number}\n".encode())


def test_a_draft_of_a_live_writer_is_left_alone(tmp_path: Path) -> None:
    with draft_of(tmp_path / "cell") as draft:
        (draft / "part").write_text("half", encoding="utf-8")
        sweep(tmp_path)
        assert (draft / "part").exists()
    assert (tmp_path / "cell" / "part").read_text(encoding="utf-8") == "half"
    assert os.listdir(tmp_path) == ["cell"]


def test_a_cell_is_written_once(tmp_path: Path) -> None:
    cell = made_run(tmp_path).cells()[0]
    with pytest.raises(RecordError, match="written once"):
        write_cell(cell.path, cell.manifest, tables(), {})
    (cell.path.parent / "empty").mkdir()
    with pytest.raises(RecordError, match="written once"):
        write_cell(cell.path.parent / "empty", cell.manifest, tables(), {})


def test_runs_begun_at_once_are_as_many(tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def begin(number: int) -> Path:
        start.wait(timeout=10)
        return new_run({"name": "made", "number": number}, tmp_path).path

    with ThreadPoolExecutor(8) as threads:
        paths = list(threads.map(begin, range(32)))
    assert len(set(paths)) == 32
    assert [open_run(path).experiment["number"] for path in paths] == list(range(32))
    assert not list(tmp_path.glob(".*"))


def test_of_two_writers_of_a_cell_the_first_to_finish_keeps_it(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="written once"):
        _overtaken(tmp_path / "cell")
    assert (tmp_path / "cell" / "by").read_text(encoding="utf-8") == "early"
    assert os.listdir(tmp_path) == ["cell"]


def _overtaken(path: Path) -> None:
    with draft_of(path) as late:
        (late / "by").write_text("late", encoding="utf-8")
        with draft_of(path) as early:
            (early / "by").write_text("early", encoding="utf-8")


def test_a_draft_is_dead_the_moment_nobody_holds_it(tmp_path: Path) -> None:
    (tmp_path / ".cell-abcdefgh").mkdir()
    sweep(tmp_path)
    assert os.listdir(tmp_path) == []


def test_another_schema_is_refused_by_number(tmp_path: Path) -> None:
    cell = made_cell(new_run(EXPERIMENT, tmp_path), "serverless-lora")
    file = cell.path / "manifest.json"
    text = file.read_text(encoding="utf-8").replace('"schema": 2', '"schema": 3')
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match="schema 3; this code knows 1 and 2"):
        read_cell(cell.path)


def test_a_cell_without_one_of_its_tables_is_none(tmp_path: Path) -> None:
    cell = made_run(tmp_path).cells()[0]
    (cell.path / "spans.parquet").unlink()
    with pytest.raises(RecordError, match=r"spans\.parquet is missing"):
        read_cell(cell.path)
