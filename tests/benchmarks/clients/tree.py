"""Processor time of a process tree while it runs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

_EVERY_S = 0.1


def run(
    command: Sequence[str], folder: Path, environment: dict[str, str], timeout_s: float
) -> list[tuple[int, float]]:
    """Run the command and sample (monotonic ns, processor seconds so far) every 0.1 s, including
    ended processes. Raises RuntimeError with the last line of output on failure or timeout."""
    samples: list[tuple[int, float]] = []
    used: dict[int, float] = {}
    deadline = time.monotonic() + timeout_s
    with (folder / "log").open("wb") as log:
        process = psutil.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        while process.poll() is None and time.monotonic() < deadline:
            _sample(process, used)
            samples.append((time.monotonic_ns(), sum(used.values())))
            time.sleep(_EVERY_S)
    if process.poll() is None:
        _end(process)
        raise RuntimeError(f"no end within {timeout_s:g} s")
    if process.returncode:
        raise RuntimeError(_last_line(folder / "log"))
    return samples


def _sample(process: psutil.Process, used: dict[int, float]) -> None:
    with suppress(psutil.Error):
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                times = one.cpu_times()
                used[one.pid] = times.user + times.system


def _end(process: psutil.Process) -> None:
    for one in [*process.children(recursive=True), process]:
        with suppress(psutil.Error):
            one.kill()
    process.wait()


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "it said nothing")[:200]
