"""The output of processes is drained, bounded, and shown once."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import threading
from pathlib import Path

import pytest

from systems.runtime import output
from systems.runtime.output import Output, Told
from systems.runtime.processes import Processes
from systems.runtime.roles import Role
from systems.serverless.live.roles import INSTANCE, TEMPLATE

KEPT = 16 << 10


async def end_of(processes: Processes, role: Role, after_s: float | None = None) -> int | None:
    """The exit code of a process of ``role``, which is killed ``after_s`` if given."""
    ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
    child = processes.spawn(role, lambda message, fds: None, ended.set_result)
    if after_s is not None:
        await asyncio.sleep(after_s)
        child.verdict = "enough"
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
    return await asyncio.wait_for(ended, 120)


def test_why_a_process_ended_badly_is_told_and_nothing_goes_past_the_pipe(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def run() -> int | None:
        return await end_of(Processes("no kind of device", TEMPLATE), INSTANCE)

    assert asyncio.run(run()) == 1
    said = capfd.readouterr()
    assert "KeyError: 'no kind of device'" in said.err
    assert all(line.startswith("instance ") for line in said.err.splitlines())
    assert said.out == ""


def test_one_that_prints_without_end_waits() -> None:
    """A thread of this process prints, in place of a process, until the pipe is full."""
    written = 0

    async def run() -> str:
        printed = Output()
        writer = os.dup(printed.writer.fileno())
        printed.writer.close()
        stop = threading.Event()

        def flood() -> None:
            nonlocal written
            os.set_blocking(writer, False)
            while not stop.is_set():
                try:
                    written += os.write(writer, b"x" * 4095 + b"\n")
                except BlockingIOError:
                    stop.wait(0.001)

        thread = threading.Thread(target=flood)
        thread.start()
        await asyncio.sleep(0.5)
        stop.set()
        thread.join()
        os.close(writer)
        return printed.close()

    kept = asyncio.run(run())
    assert len(kept) <= KEPT
    assert written > 64 << 10, "more than a pipe holds: it is drained"
    assert written < 8 << 20, "twenty pipefuls a second; without pauses it is gigabytes"


def test_what_was_printed_last_is_kept_and_is_no_control_sequence() -> None:
    async def run() -> str:
        printed = Output()
        printed.writer.write(b"first\n" + b"y" * 30_000 + b"\n")
        await asyncio.sleep(0.1)
        printed.writer.write(b"\x1b[2Jlast\xff\r\n")
        return printed.close()

    lines = asyncio.run(run()).splitlines()
    assert "first" not in lines
    assert lines[-1] == "\ufffd[2Jlast\ufffd"
    assert sum(map(len, lines)) <= KEPT


def test_all_processes_together_are_told_of_within_a_bound(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "TOLD_BYTES", 1000)
    told = Told()
    for number in range(100):
        told.tell("instance 1", f"{number} " + "z" * 90)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 12
    assert "no more is shown" in lines[-1]
    assert lines[0] == "instance 1: 0 " + "z" * 90


def test_a_full_disk_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with (tmp_path / "log").open("w") as log:
        monkeypatch.setattr(sys, "stderr", log)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        try:
            Told().tell("instance 1", "something")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, ignored)
            log.truncate(0)
