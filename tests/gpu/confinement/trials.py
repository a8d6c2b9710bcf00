"""Runs the scenario under a sandbox in a fork, and tells how far it came."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from .scenario import PREPARED, Scenario

PATIENCE_S = 25


def nothing() -> None:
    """No measure."""


@dataclass(frozen=True, slots=True)
class Trial:
    """``early`` is applied before the context, ``late`` when the engine is built."""

    name: str
    early: Callable[[], object] = nothing
    late: Callable[[], object] = nothing


@dataclass(frozen=True, slots=True)
class Result:
    """``failed``: the step that failed, with the reason; "" if none did."""

    name: str
    failed: str
    seconds: float
    descriptors: int = 0
    resident_mib: int = 0

    def __str__(self) -> str:
        took = f"{self.seconds:.1f} s, {self.descriptors} descriptors, {self.resident_mib} MiB"
        return f"{'FAILED' if self.failed else 'holds '} {self.name}: {self.failed or took}"


def run(trials: Iterable[Trial], device: str, at_once: int = 1) -> Iterator[Result]:
    """Yield the results, in the order in which the trials end."""
    waiting, running = list(trials), {}
    while waiting or running:
        while waiting and len(running) < at_once:
            trial = waiting.pop(0)
            running[_start(trial, device)] = trial.name, time.monotonic()
        ended = _next_ended([pid for pid, _ in running], [pipe for _, pipe in running])
        for key in [key for key in running if key[1] in ended or _late(running[key][1])]:
            name, start = running.pop(key)
            yield _result(*key, name, time.monotonic() - start)


def _start(trial: Trial, device: str) -> tuple[int, int]:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        quiet = os.open("/dev/null", os.O_WRONLY)
        os.dup2(quiet, 2)
        step = ["start"]
        try:
            _play(trial, device, step)
            told = {"failed": "", "fds": len(os.listdir("/proc/self/fd")), "mib": _resident_mib()}
        except BaseException as error:
            told = {"failed": f"{step[-1]}: {type(error).__name__}: {str(error)[:200]}"}
        os.write(writer, json.dumps(told).encode())
        os._exit(0)
    os.close(writer)
    return pid, reader


def _play(trial: Trial, device: str, step: list[str]) -> None:
    scenario = Scenario(device)
    step.append("early measures")
    trial.early()
    for name, do in scenario.steps():
        step.append(name)
        do()
        if name == PREPARED:
            step.append("late measures")
            trial.late()


def _resident_mib() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096 >> 20


def _next_ended(pids: list[int], pipes: list[int]) -> list[int]:
    return select.select(pipes, [], [], 1)[0]


def _late(start: float) -> bool:
    return time.monotonic() - start > PATIENCE_S


def _result(pid: int, pipe: int, name: str, seconds: float) -> Result:
    said = os.read(pipe, 65536) if select.select([pipe], [], [], 0)[0] else b""
    os.close(pipe)
    if not said:
        os.kill(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if not said:
        return Result(name, f"said nothing for {seconds:.0f} s or died (status {status})", seconds)
    told = json.loads(said)
    return Result(name, told["failed"], seconds, told.get("fds", 0), told.get("mib", 0))
