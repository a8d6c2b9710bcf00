"""Simulated cells over processes: the records are those of one process, and what is done is not
done again."""

from __future__ import annotations

import importlib.util
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import cli
from harness.errors import HarnessError
from harness.execution.progress import Progress
from harness.execution.runner import Runner
from harness.execution.sweeps import spread
from harness.experiment import Experiment
from harness.experiment_files import load
from harness.records import Run, new_run
from tests.harness.typed import typed

from .tasks import fails_at_three, threads_of_libraries

TABLES = ("requests", "spans", "memory", "billing")


def experiment() -> Experiment:
    workloads = [{"name": "azure-bursty8", "overrides": {"duration_s": 300}}]
    return load("evaluation", {"workloads": workloads, "seeds": [1, 2]})


def executed(folder: Path, workers: int) -> Run:
    run = new_run(experiment().model_dump(mode="json"), folder)
    Runner(experiment(), run, Progress()).execute(workers)
    return run


def test_records_do_not_depend_on_how_many_processes_made_them(tmp_path: Path) -> None:
    one, two = executed(tmp_path / "1", 1), executed(tmp_path / "2", 2)
    assert len(one.cells()) == len(two.cells()) == 14
    for first, second in zip(one.cells(), two.cells(), strict=True):
        for name in TABLES:
            files = [cell.path / f"{name}.parquet" for cell in (first, second)]
            assert files[0].read_bytes() == files[1].read_bytes()
        own = {"run_id", "started_at", "measured"}
        assert first.manifest.model_dump(exclude=own) == second.manifest.model_dump(exclude=own)
        assert first.summary == second.summary


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_records_do_not_depend_on_whether_ray_made_them(tmp_path: Path) -> None:
    short = [{"name": "azure-bursty8", "overrides": {"duration_s": 600}}]
    two = [{"name": "serverless-lora"}, {"name": "serverless-llm"}]
    runs = []
    for cluster in (None, "local:2"):
        changes = {"workloads": short, "systems": two, "seeds": [1]}
        changes["deployment.cluster"] = cluster
        asked = load("evaluation", changes)
        runs.append(new_run(asked.model_dump(mode="json"), tmp_path))
        Runner(asked, runs[-1], Progress()).execute(1)
    here, there = (run.cells() for run in runs)
    assert len(here) == len(there) == 2
    for first, second in zip(here, there, strict=True):
        for name in TABLES:
            files = [cell.path / f"{name}.parquet" for cell in (first, second)]
            assert files[0].read_bytes() == files[1].read_bytes()
        assert first.summary == second.summary
        assert second.manifest.run_id == runs[1].id


def test_a_killed_sweep_goes_on_where_it_was(tmp_path: Path) -> None:
    short = "workloads=[{name: azure-bursty8, overrides: {duration_s: 900}}]"
    asked = ["run", "evaluation", "--seed", "92", "--set", short, "--out", str(tmp_path)]
    command = [sys.executable, "-m", "harness", *asked, "--workers", "2"]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as killed:
        while not (kept := manifests(tmp_path)):
            assert killed.poll() is None, "it ended before it could be killed"
            time.sleep(0.02)
        killed.send_signal(signal.SIGKILL)
    while alive(killed.pid):
        time.sleep(0.02)
    kept = manifests(tmp_path)
    assert len(kept) < 7
    (run,) = (path for path in tmp_path.iterdir() if not path.name.startswith("."))
    typed(shlex.join(["slbench", *asked, "--workers", "1", "--resume", str(run)]))
    after = manifests(tmp_path)
    assert len(after) == 7
    assert {path: after[path] for path in kept} == kept, "written once"


def manifests(folder: Path) -> dict[Path, int]:
    """Of finished cells, with when each was written."""
    found = folder.glob("[!.]*/*/*/[!.]*/manifest.json")
    return {path: path.stat().st_mtime_ns for path in found}


def alive(session: int) -> bool:
    """Whether a process of the session is left."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            return True
    return False


def test_a_wrong_request_fails_before_anything_runs(tmp_path: Path) -> None:
    wrong = load("evaluation", {"workloads": [{"name": "azure-bursty8"}, {"name": "nothing"}]})
    run = new_run(wrong.model_dump(mode="json"), tmp_path)
    with pytest.raises(Exception, match="nothing"):
        Runner(wrong, run, Progress()).execute(2)
    assert run.cells() == []


def test_a_worker_computes_in_one_thread() -> None:
    assert dict(spread(threads_of_libraries, [0, 1], 2)) == {0: 1, 1: 1}


def test_each_task_is_done_once_and_fresh_processes_are_their_own() -> None:
    found = dict(spread(fails_at_three, [0, 1, 2], 2, fresh=True))
    assert set(found) == {0, 1, 2}
    assert len(set(found.values()) | {os.getpid()}) == 4


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_task_is_raised(workers: int) -> None:
    with pytest.raises(HarnessError, match="three"):
        list(spread(fails_at_three, [2, 3, 4], workers))


def test_more_tables_than_anybody_reads_are_left_to_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = "workloads=[{name: azure-bursty8, overrides: {duration_s: 60}}]"
    monkeypatch.setattr("harness.commands.outcome._MOST_LOADS", 1)
    monkeypatch.setattr("harness.interrupts.listen", lambda: None)
    monkeypatch.setattr(
        sys, "argv",
        ["slbench", "run", "evaluation", "--system", "serverless-llm", "--seed", "1", "--seed", "2",
         "--workers", "1", "--set", short, "--out", str(tmp_path)],
    )  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "2 cells; slbench compare" in said
    assert "slo_attainment" not in said
