"""A run that is interrupted or cannot start leaves no empty folder and offers no resuming."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.commands.keeping import keeping
from harness.errors import InterruptedRunError
from harness.records import Run, new_run
from tests.harness.made import made_run

START_S = 60.0


def told_to_end(out: Path, number: signal.Signals, *more: str) -> tuple[int, str]:
    """Exit status and standard error of a simulated run that gets a signal once its folder is
    there; its cells take longer than that."""
    command = [sys.executable, "-m", "harness", "run", "main", "--simulated", "--out", str(out)]
    process = subprocess.Popen(
        [*command, *more],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_default_signals,
    )
    deadline = time.monotonic() + START_S
    while not list(out.glob("*/run.json")):
        assert time.monotonic() < deadline, "the run never began"
        time.sleep(0.02)
    os.kill(process.pid, number)
    return process.wait(START_S), process.communicate()[1]


def _default_signals() -> None:
    """Undo what a shell ignores in its background jobs, and nohup, this test perhaps among them."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_before_the_first_cell_leaves_nothing(
    number: signal.Signals, tmp_path: Path
) -> None:
    status, said = told_to_end(tmp_path / "runs", number)
    assert status == 3, said
    assert said.splitlines()[-1] == (
        "slbench: interrupted; no cell was finished, and no folder is kept"
    )
    assert list((tmp_path / "runs").iterdir()) == []


def test_an_interrupt_while_the_folder_is_made_waits_until_it_can_be_removed(
    tmp_path: Path,
) -> None:
    def made() -> Run:
        record = new_run({"name": "made"}, tmp_path)
        os.kill(os.getpid(), signal.SIGINT)
        return record

    with pytest.raises(InterruptedRunError, match="no folder is kept"), keeping(made):
        raise AssertionError("the run went on")
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_finished_cells_are_kept_and_the_command_that_goes_on_is_named(tmp_path: Path) -> None:
    record = made_run(tmp_path)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(InterruptedRunError) as ended, keeping(lambda: record):
        raise full
    assert str(ended.value) == (
        f"{full}; 2 cells are kept; slbench run --resume {record.path} runs the others"
    )
    assert len(record.cells()) == 2


@pytest.mark.parametrize("place", ["/proc/x", "/dev/null/runs"])
def test_a_place_where_no_run_can_be_kept_is_one_line_before_anything_starts(place: str) -> None:
    command = [sys.executable, "-m", "harness", "run", "quickstart", "--out", place]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"slbench: --out {place}: a run cannot be written there (")
    assert "resume" not in done.stderr
