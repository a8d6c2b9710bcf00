"""The Locust process that sends the load. It can be started before its plan is known, since its
imports take longer than anything else of a replay's start."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

import msgspec
import psutil

from .messages import Lost
from .plan import Plan
from .process import command, environment

STOP_S = 10.0


class LoadGenerator:
    """A process that waits for its plan, which will be of ``out_dir``; ``solo``: it will be the
    only load worker too. It has its own session, so that Ctrl-C reaches this process first. A
    context manager: on exit it is ended, with all its descendants."""

    def __init__(self, out_dir: Path, *, solo: bool = True) -> None:
        out_dir.mkdir(parents=True, exist_ok=True)
        self.out_dir, self._solo = out_dir, solo
        with Plan.log_in(out_dir).open("wb") as log:
            self.process = subprocess.Popen(
                command("driver", "solo" if solo else "master"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env=environment(),
            )
        self._ended = False

    def send(self, plan: Plan) -> None:
        """Send the plan, which must be for this folder and kind of process."""
        assert (plan.out_dir, plan.solo) == (self.out_dir, self._solo), "started for another plan"
        self._write(f"{plan.model_dump_json()}\n".encode())

    def lose(self, worker: int) -> None:
        """Tell the process of a worker that another host has lost. From any thread."""
        if not self._ended:
            self._write(msgspec.json.encode(Lost(worker)) + b"\n")

    def _write(self, line: bytes) -> None:
        assert self.process.stdin is not None, "asked for a pipe"
        with suppress(BrokenPipeError, ValueError):  # it has ended; its log has the reason
            self.process.stdin.write(line)
            self.process.stdin.flush()

    def end(self) -> None:
        """End the process and its descendants; safe to call twice."""
        if not self._ended:
            self._ended = True
            _end(self.process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Wait for the end of one that has done its work; end others."""
        if error is None:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_S)
        self.end()


def limit(process: subprocess.Popen[bytes], seconds: float) -> threading.Timer:
    """Kill the driver's whole session after ``seconds``, stopped processes included."""
    timer = threading.Timer(seconds, lambda: _kill(_session(process.pid)))
    timer.daemon = True
    timer.start()
    return timer


def _end(process: subprocess.Popen[bytes]) -> None:
    """Terminate the driver, then kill it. The kernel terminates its children when it ends; stopped
    children do not react and are killed."""
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    below = _session(process.pid)
    _kill(psutil.wait_procs(below, timeout=STOP_S if below else 0)[1])
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()


def _session(leader: int) -> list[psutil.Process]:
    """Return the live processes of the driver's session, even if the driver itself has ended."""
    return [process for process in psutil.process_iter() if _is_of(process, leader)]


def _is_of(process: psutil.Process, leader: int) -> bool:
    with suppress(ProcessLookupError, psutil.NoSuchProcess):
        if os.getsid(process.pid) == leader:
            return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=STOP_S)
