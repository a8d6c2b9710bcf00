"""A calibration whose process is killed leaves no file and no traceback."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

_CALIBRATES = "from harness.calibration.measure import calibrate; calibrate(quick=False)"


def _sleeps(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return "harness.calibration.sleeper" in process.cmdline()
    return False


def test_nothing_is_left_of_one_that_is_killed(tmp_path: Path) -> None:
    calibrating = subprocess.Popen(
        [sys.executable, "-c", _CALIBRATES],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not any(map(_sleeps, psutil.Process(calibrating.pid).children())):
        time.sleep(0.02)
    time.sleep(0.3)  # until it has a delay to tell
    calibrating.send_signal(signal.SIGKILL)
    assert calibrating.stderr is not None
    assert "Traceback" not in calibrating.stderr.read(), "of a process that it started"
    calibrating.wait()
    assert list(tmp_path.iterdir()) == []
