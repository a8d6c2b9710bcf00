"""Run the tests of one mutant."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import suite

SURVIVED, KILLED, NO_TEST, HUNG, UNTRIED = (
    "survived", "killed", "in no test", "hung or died", "not tried",
)  # fmt: skip
OUTCOMES: Mapping[int, str] = {0: SURVIVED, 1: KILLED, 2: KILLED, 3: KILLED}
"""By exit status of pytest: failed tests, a failed import, an internal error. Any other status is
that of a process that did not end by itself."""
MEMORY_BYTES = 8 << 30
"""A mutant that allocates without end must not take the machine's memory."""


@dataclass(frozen=True)
class Trial:
    mutant: str
    tests: tuple[str, ...]
    seconds: float
    """What the tests take without a mutant."""
    longest: float

    @property
    def limit_s(self) -> float:
        return 60 + 5 * self.seconds

    @property
    def options(self) -> list[str]:
        """Options of pytest: one test may take much longer than the longest does, not for ever."""
        return ["-x", f"--timeout={20 + 5 * self.longest:.0f}"]


def run(project: Path, trial: Trial, until: float) -> str:
    """Return the outcome; UNTRIED if the tests had not ended at ``until`` (time.monotonic)."""
    if not trial.tests:
        return NO_TEST
    remaining = until - time.monotonic()
    status = _status(project, trial, min(trial.limit_s, remaining))
    if status is None:
        return HUNG if trial.limit_s < remaining else UNTRIED
    return OUTCOMES.get(status, HUNG)


def _status(project: Path, trial: Trial, limit_s: float) -> int | None:
    """Return the exit status of pytest; None if it had to be killed after ``limit_s``."""
    options = [*suite.settings(project)[0], *trial.options]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            suite.command(options, trial.tests, Path(folder) / "tests"),
            cwd=project, env=suite.environment(project, trial.mutant), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        resource.prlimit(process.pid, resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
        try:
            return process.wait(limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return None
