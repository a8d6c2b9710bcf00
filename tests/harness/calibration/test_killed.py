"""A calibration whose process is killed while it sends leaves no process, file or traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

_CALIBRATES = """
from harness.calibration.measure import calibrate
calibrate(quick=True, on_progress=lambda *told: print(*told, flush=True))
"""
_END_S = 15


def test_nothing_is_left_of_one_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _CALIBRATES],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as calibrating:
        assert calibrating.stdout is not None
        assert calibrating.stderr is not None
        assert calibrating.stdout.readline(), "it sends, and hears of the progress"
        started = psutil.Process(calibrating.pid).children(recursive=True)
        calibrating.kill()
        assert psutil.wait_procs(started, timeout=_END_S)[1] == []
        assert "Traceback" not in calibrating.stderr.read(), "of a process that it started"
    assert list(tmp_path.iterdir()) == []
