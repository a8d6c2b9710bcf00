"""Runs commands side by side on the GPUs of one machine that is lent for minutes:

    python -m tests.gpu.lanes FOLDER --seconds 570 [--each GPUS] [--last] COMMANDS…

Each of COMMANDS is a shell script for ``--each`` GPUs (1), with an equal part of the cores, a
kernel cache of its own, and ``$LANE``, a folder for its records. The first call starts them; they
outlive it. Each call waits at most ``--seconds`` and tells the end of each log, so that the machine
can be asked for again and again. ``--last`` interrupts what still runs, which then writes what it
has.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_ENDS_S = 20.0
"""How long a lane that is interrupted may take."""
_SHOWN = 20


@dataclass(frozen=True)
class Lane:
    """``folder`` holds its records, its log beside it, and the process group that runs it."""

    folder: Path

    @property
    def log(self) -> Path:
        return self.folder.with_suffix(".log")

    @property
    def _group(self) -> Path:
        return self.folder.with_suffix(".pid")

    def start(self, script: str, gpus: Sequence[int], cores: Sequence[int]) -> None:
        self.folder.mkdir(parents=True)
        environment = os.environ | {
            "CUDA_VISIBLE_DEVICES": _listed(gpus),
            "TRITON_CACHE_DIR": str(self.folder.with_suffix(".kernels").resolve()),
            "LANE": str(self.folder),
            "PYTHONUNBUFFERED": "1",
        }
        with self.log.open("wb") as log:
            started = subprocess.Popen(
                ["taskset", "-c", _listed(cores), "bash", "-c", script],
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._group.write_text(str(started.pid), encoding="utf-8")

    @property
    def running(self) -> bool:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, os.WNOHANG)
        return self._send(0)

    def interrupt(self) -> None:
        self._send(signal.SIGINT)

    def end(self) -> None:
        self._send(signal.SIGKILL)

    @property
    def _pid(self) -> int:
        return int(self._group.read_text(encoding="utf-8"))

    def _send(self, number: int) -> bool:
        """Send a signal to the lane's processes; return whether there are any."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, number)
            return True
        return False


def _listed(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))


def shares(cores: Sequence[int], lanes: int) -> Iterator[Sequence[int]]:
    """Yield equal parts of ``cores``, neighbours together."""
    each = len(cores) // lanes
    for number in range(lanes):
        yield cores[number * each : (number + 1) * each]


def run(folder: Path, scripts: Sequence[str], seconds: float, *, last: bool, each: int = 1) -> None:
    """Start the lanes, on ``each`` GPUs, unless a call before did, then wait. ``last``: interrupt
    in time."""
    ends = time.monotonic() + seconds - (_ENDS_S if last else 0)
    lanes = [Lane(folder / str(number)) for number in range(len(scripts))]
    parts = shares(sorted(os.sched_getaffinity(0)), len(scripts))
    for first, (lane, script, cores) in enumerate(zip(lanes, scripts, parts, strict=True)):
        if not lane.folder.exists():
            lane.start(script, range(first * each, (first + 1) * each), cores)
    _wait(lanes, ends)
    if last:
        _finish(lanes)
    for lane in lanes:
        told = lane.log.read_text(encoding="utf-8", errors="replace").splitlines()
        print(f"== {lane.folder} {'runs' if lane.running else 'ended'}", *told[-_SHOWN:], sep="\n")


def _finish(lanes: Sequence[Lane]) -> None:
    for lane in lanes:
        lane.interrupt()
    _wait(lanes, time.monotonic() + _ENDS_S)
    for lane in lanes:
        lane.end()


def _wait(lanes: Sequence[Lane], until: float) -> None:
    while time.monotonic() < until and any(lane.running for lane in lanes):
        time.sleep(0.2)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.lanes", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--each", type=int, default=1, metavar="GPUS")
    parser.add_argument("--last", action="store_true")
    parser.add_argument("scripts", nargs="+")
    given = parser.parse_args()
    if given.each < 1:
        parser.error(f"--each {given.each}: a lane has at least one GPU")
    run(given.folder, given.scripts, given.seconds, last=given.last, each=given.each)
    return 0


if __name__ == "__main__":
    sys.exit(main())
