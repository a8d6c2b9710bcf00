"""A run that is told to end, or cannot begin, leaves no empty folder, and offers no resuming."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

START_S = 60.0


def told_to_end(out: Path, number: signal.Signals, *more: str) -> tuple[int, str]:
    """Exit status and standard error of a simulated run that gets a signal once its folder is
    there; its cells take longer than that."""
    command = [sys.executable, "-m", "harness", "run", "main", "--simulated", "--out", str(out)]
    process = subprocess.Popen([*command, *more], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + START_S
    while not list(out.glob("*/run.json")):
        assert time.monotonic() < deadline, "the run never began"
        time.sleep(0.02)
    os.kill(process.pid, number)
    return process.wait(START_S), process.communicate()[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_before_the_first_cell_leaves_nothing(
    number: signal.Signals, tmp_path: Path
) -> None:
    status, said = told_to_end(tmp_path / "runs", number)
    assert status == 3
    assert said.splitlines()[-1] == (
        "slbench: interrupted; no cell was finished, and no folder is kept"
    )
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("place", ["/proc/x", "/dev/null/runs"])
def test_a_place_where_no_run_can_be_kept_is_one_line_before_anything_starts(place: str) -> None:
    command = [sys.executable, "-m", "harness", "run", "quickstart", "--out", place]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"slbench: --out {place}: no run can be kept there (")
    assert "resume" not in done.stderr
