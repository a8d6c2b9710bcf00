"""The whole job on the tiny backbone: `slbench run` as a user calls it, and what it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from harness import calibration, cli, interrupts
from harness.cells.cell import Prepared
from harness.cli import build
from harness.errors import InterruptedRunError
from harness.execution.live_executor import LiveExecutor
from harness.records import open_run
from tests.systems.serverless.live.conftest import wait_until

pytestmark = pytest.mark.live
TINY = Path(__file__).with_name("tiny.yaml")
OVERRIDES = "{functions: 2, time_scale: 8, prompt_tokens: 24, output_tokens: 4}"
TWO_FUNCTIONS = ("--set", f"workloads=[{{name: time-breakdown, overrides: {OVERRIDES}}}]")
"""Each instance of a system that shares nothing imports its libraries itself, for seconds."""


def slbench(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, **more)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """Interrupted while its second cell is sent load, and resumed, where the load of the cell that
    shares a backbone ends when the backbone was audited. Both run in this process, which has
    imported the command already, and calibrate the client once."""
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "calibrate", cache(calibration.calibrate))
        path = _kept_of_an_interrupt(patch, out)
        (kept,) = path.glob("*/*/0/manifest.json")
        assert kept.parts[-4] == "serverless-llm"
        written = kept.stat().st_mtime_ns
        patch.setattr(LiveExecutor, "_load", _until_audited)
        said = run("--out", str(out), "--json", "--resume", path.name)
    assert kept.stat().st_mtime_ns == written, "what was finished is left as it was"
    return json.loads(said), path


def run(*arguments: str) -> str:
    """Return the standard output of ``slbench run``, run in this process."""
    done = CliRunner().invoke(build(["run"]), ["run", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def _kept_of_an_interrupt(patch: pytest.MonkeyPatch, out: Path) -> Path:
    """The folder of a run that an interrupt ended; nothing that it started is left."""
    ours = set(psutil.Process().children(recursive=True))
    family: set[psutil.Process] = set()

    def interrupt() -> None:
        family.update(set(psutil.Process().children(recursive=True)) - ours)
        os.kill(os.getpid(), signal.SIGINT)

    def load(executor: LiveExecutor, cell: Prepared, *more: Any) -> Any:
        if executor.context.run.cells():
            threading.Timer(1, interrupt).start()
        return _load(executor, cell, *more)

    patch.setattr(LiveExecutor, "_load", load)
    with pytest.raises(InterruptedRunError, match="1 cell is kept"):
        run(str(TINY), *TWO_FUNCTIONS, "--out", str(out), "--audit", "0.2")
    assert family
    assert not psutil.wait_procs(family, timeout=30)[1]
    (path,) = out.iterdir()
    return path


_load = LiveExecutor._load


def _until_audited(executor: LiveExecutor, cell: Prepared, *more: Any) -> Any:
    """Send the load of a cell, and wait for the first audit: a short load may end before it."""
    found = _load(executor, cell, *more)
    wait_until(lambda: cell.system.system_trace().measured["audits"] >= 1, 60)
    return found


def interrupted(at: str, *arguments: str) -> int:
    """The exit status of a command that is interrupted a while after it says ``at``; nothing that
    it started is left."""
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", *arguments], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if at in line:
            break
    time.sleep(2)
    family = psutil.Process(process.pid).children(recursive=True)
    assert family, said
    os.kill(process.pid, signal.SIGINT)
    process.stderr.read()
    status = process.wait(120)
    assert not psutil.wait_procs(family, timeout=30)[1]
    return status


def test_it_prints_one_json_document_and_leaves_a_whole_run(finished: tuple[Any, Path]) -> None:
    document, path = finished
    assert document["valid"]
    assert document["mode"] == "live"
    assert set(document["systems"]) == {"serverless-lora", "serverless-llm"}
    assert len(open_run(path).cells()) == 2
    assert {p.suffix for p in (path / "figures").iterdir()} == {".png", ".pdf", ".svg", ".csv"}


def test_both_systems_saw_the_same_schedule_and_answered_all_of_it(
    finished: tuple[Any, Path],
) -> None:
    cells = open_run(finished[1]).cells()
    assert len({cell.manifest.schedule_sha256 for cell in cells}) == 1
    for cell in cells:
        assert cell.requests["request_id"].tolist() == list(range(6))
        assert set(cell.requests["status"]) == {"ok"}
        assert set(cell.requests["output_tokens"]) == {4}


def test_stages_and_transport_explain_what_the_client_saw(finished: tuple[Any, Path]) -> None:
    for cell in open_run(finished[1]).cells():
        found = cell.summary["residual_s"]
        assert found["n"] == 6
        assert abs(found["median"]) < 0.002 or abs(found["median_share"]) < 0.02


def test_sharing_shows_in_what_is_held(finished: tuple[Any, Path]) -> None:
    by_system = {cell.system: cell for cell in open_run(finished[1]).cells()}
    shared = by_system["serverless-lora"].summary["memory_peak_bytes"]["cpu:0"]["weights"]
    private = by_system["serverless-llm"].summary["memory_peak_bytes"]["cpu:0"]["weights"]
    assert private == 2 * shared, "two functions, two copies against one"


def test_the_shared_backbone_was_audited_as_asked_and_did_not_change(
    finished: tuple[Any, Path],
) -> None:
    by_system = {cell.system: cell.manifest for cell in open_run(finished[1]).cells()}
    shared = by_system["serverless-lora"]
    assert shared.system["options"]["audit_s"] == 0.2
    assert shared.measured["audits"] >= 1
    assert shared.measured["audits_changed"] == shared.measured["audits_failed"] == 0
    assert by_system["serverless-llm"].measured["audits"] == 0, "it shares nothing"


def test_an_interrupt_before_anything_was_finished_keeps_nothing(tmp_path: Path) -> None:
    assert interrupted("[1/2]", "run", str(TINY), "--out", str(tmp_path)) == 3
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "nothing"), "experiment 'nothing' is unknown"),
        (("run", "quickstart", "--system", "nobody"), "serverless-lora"),
        (("run", "quickstart", "--workload", "nothing"), "azure-bursty8"),
        (("run", "quickstart", "--set", "colour=red"), "colour"),
        (("run", "quickstart", "--set", "deployment.backbone=/nowhere"), "preset"),
        (("run", str(TINY), "--set", "deployment.device_memory_gib=0.001"), "cannot hold"),
        (("run", "saturation", "--set", "deployment.device_memory_gib=1"), "takes 14.25"),
        (("run", "saturation", "--set", "figures=[pie]"), "'pie' is unknown; known: time-br"),
        (("run", str(TINY), "--set", "figures=[pie]"), "'pie' is unknown; known: time-br"),
        (("run", str(TINY), "--load-hosts", "1", "--listen", "127.0.0.1:70000"), "HOST:PORT"),
        (("serve", "nobody"), "serverless-lora"),
        (("profile", "--out", "/nowhere/mine.toml"), "cannot be written"),
        (("profile", "--out", "mine.json"), "a profile is a .toml file"),
        (("workloads", "show", "nothing"), "azure-bursty8"),
        (("figures", "--from", "/nowhere"), "/nowhere: no such folder"),
    ],
)
def test_a_wrong_request_is_one_line_and_status_2(
    arguments: tuple[str, ...],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process, where what a command imports is imported once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(interrupts, "listen", lambda: None)
    monkeypatch.setattr(sys, "argv", ["slbench", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert ended.value.code == 2, said
    _one_line_with(words, said, tmp_path)


def test_so_it_is_of_the_command(tmp_path: Path) -> None:
    done = slbench("run", "nothing", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    _one_line_with("known: ablation-h100, ablation-h100x4, ablation, ", done.stderr, tmp_path)


def _one_line_with(words: str, said: str, folder: Path) -> None:
    last = [line for line in said.splitlines() if line.startswith("slbench: ")]
    assert len(last) == 1
    assert words in last[0]
    assert "Traceback" not in said
    assert not (folder / "results").exists() or not list(folder.rglob("run.json"))
