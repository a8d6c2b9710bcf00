"""The liveness monitor, round by round, with a fake clock and real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from systems.runtime.liveness import Heartbeat, LivenessMonitor

SILENCE_S = 5.0
"""Time after which a process that neither answers nor works is given up."""
LONG_S = 60.0


class Clock(asyncio.SelectorEventLoop):
    """An event loop whose time advances only in :meth:`pass_`."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        """Advance the time in steps of 0.1 s and run all due callbacks."""
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            self.call_soon(self.stop)
            self.run_forever()


@dataclass
class Subject:
    """A process for the monitor; ``answers`` handles a ping."""

    pid: int | None
    answers: Callable[[Subject], None] = lambda subject: None
    heartbeat: Heartbeat = field(default_factory=Heartbeat)

    def ask(self) -> None:
        self.answers(self)


@pytest.fixture
def idle() -> Iterator[subprocess.Popen[bytes]]:
    """A stopped process."""
    popen = subprocess.Popen(["sleep", "600"])
    popen.send_signal(signal.SIGSTOP)
    os.waitpid(popen.pid, os.WUNTRACED)
    yield popen
    popen.kill()
    popen.wait()


def given_up(subject: Subject, seconds: float) -> list[tuple[float, str]]:
    """Times within ``seconds`` at which the monitor gave ``subject`` up, with the reasons."""
    clock = Clock()
    found: list[tuple[float, str]] = []

    async def begin() -> LivenessMonitor:
        return LivenessMonitor(
            lambda: [subject], lambda _, reason: found.append((clock.now, reason))
        )

    watch = clock.run_until_complete(begin())
    clock.pass_(seconds)
    watch.close()
    clock.close()
    return found


def test_one_that_neither_answers_nor_works_is_given_up_after_five_seconds(
    idle: subprocess.Popen[bytes],
) -> None:
    # The first round reads its processor time; only the second can see that it is idle.
    (at_s, reason), *_ = given_up(Subject(idle.pid), SILENCE_S + 3)
    assert SILENCE_S <= at_s <= SILENCE_S + 2
    assert reason == "silent for 5 s"


def test_one_that_answers_is_not(idle: subprocess.Popen[bytes]) -> None:
    assert given_up(Subject(idle.pid, lambda subject: subject.heartbeat.heard()), LONG_S) == []


def test_one_that_works_is_not() -> None:
    """Monitors this process, which runs at every check."""
    assert given_up(Subject(os.getpid()), LONG_S) == []


WAITING_FOR_A_THREAD = """
import os, sys, threading
held = threading.Event()
def wait():
    # Its child opens a pipe without a writer, and the kernel keeps it in D until then.
    opens = [(os.POSIX_SPAWN_OPEN, 3, sys.argv[1], os.O_RDONLY, 0)]
    os.posix_spawn("/bin/true", ["true"], {}, file_actions=opens)
thread = threading.Thread(target=held.wait if sys.argv[1] == "-" else wait, daemon=True)
thread.start()
thread.join()
"""
"""A process whose main thread sleeps while another waits: for the pipe ``argv[1]``, in the state of
a thread that reads a slow disk, or (``-``) for an event that never comes."""


@contextmanager
def waiting_for_a_thread(name: str, states: list[str]) -> Iterator[int]:
    """Run ``WAITING_FOR_A_THREAD``; yield its pid once the states of its threads are these."""
    with subprocess.Popen([sys.executable, "-c", WAITING_FOR_A_THREAD, name]) as popen:
        try:
            deadline = time.monotonic() + LONG_S
            while _states(popen.pid) != states:
                assert time.monotonic() < deadline, _states(popen.pid)
                time.sleep(0.01)
            yield popen.pid
        finally:
            with suppress(OSError):  # ends the child that the thread waits for, if there is one
                os.close(os.open(name, os.O_WRONLY | os.O_NONBLOCK))
            popen.kill()


def _states(pid: int) -> list[str]:
    """States of a process's threads, the main thread's first."""
    tasks = sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda path: int(path.name))
    return [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks]


def test_one_that_waits_while_its_threads_read_from_a_slow_disk_is_not(tmp_path: Path) -> None:
    """Loaders read on threads: one was ended after five seconds of a hanging disk."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with waiting_for_a_thread(str(pipe), ["S", "D"]) as pid:
        assert given_up(Subject(pid, heartbeat=Heartbeat(answers=False)), LONG_S) == []


def test_one_whose_threads_all_sleep_is_given_up() -> None:
    with waiting_for_a_thread("-", ["S", "S"]) as pid:
        (_, reason), *_ = given_up(Subject(pid), SILENCE_S + 3)
    assert reason == "silent for 5 s"


def test_one_that_is_not_known_yet_is_not() -> None:
    assert given_up(Subject(None), LONG_S) == []


def test_one_with_too_many_threads_is_given_up_at_the_first_look() -> None:
    program = (
        "import os, sys, threading; threading.stack_size(1 << 16); end = threading.Event()\n"
        "for _ in range(int(sys.argv[1])): threading.Thread(target=end.wait, daemon=True).start()\n"
        "print(flush=True); sys.stdin.read(); os._exit(0)"
    )
    bound = 64 + 4 * (os.cpu_count() or 1)
    for more, expected in ((bound - 1, []), (bound, [f"{bound + 1} threads"])):
        command = [sys.executable, "-c", program, str(more)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as popen:
            assert popen.stdout is not None
            popen.stdout.readline()
            found = given_up(Subject(popen.pid, lambda subject: subject.heartbeat.heard()), 1.5)
            popen.communicate()
        assert [reason.split(";")[0] for _, reason in found] == expected
