"""Detects child processes that are alive but stopped or deadlocked, and processes that start too
many threads, for which the kernel has no limit per process.

The monitor pings each process. A process counts as alive as long as one of its threads uses the
processor or waits for a disk, however long a step takes: no deadline depends on the size of a model
or the speed of a disk. The monitor counts rounds, not seconds, so that a pause of the gateway is
not blamed on its children.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .sandbox.users import most_threads

EVERY_S = 1.0
SILENT_ROUNDS = 5
"""Rounds in a row without a message and without work, after which a process is given up."""

_BUSY = frozenset("RD")


@dataclass(slots=True)
class Heartbeat:
    """The last observed state of a process."""

    answers: bool = True
    """Whether it answers pings while it works. One that does not must be busy until its result."""
    asked: bool = False
    silent: int = 0
    worked: int = -1

    def heard(self) -> None:
        self.asked, self.silent = False, 0


class Monitored(Protocol):
    """A process on a channel; ``pid`` is None until it is known."""

    pid: int | None
    heartbeat: Heartbeat

    def ask(self) -> None:
        """Send a ping that a live process answers."""


@dataclass(frozen=True, slots=True)
class Activity:
    """The current state of a process: whether its main thread runs or waits for a disk, the
    processor time of all threads in clock ticks, and their number."""

    busy: bool = False
    worked: int = 0
    threads: int = 0


class LivenessMonitor:
    """Checks ``processes()`` every second. It calls ``give_up`` with each process that is silent
    too long or runs too many threads, and with the reason."""

    def __init__(
        self,
        processes: Callable[[], Iterable[Monitored]],
        give_up: Callable[[Monitored, str], None],
    ) -> None:
        self._processes = processes
        self._give_up = give_up
        self._most_threads = most_threads()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(EVERY_S, self._round)

    def close(self) -> None:
        self._timer.cancel()

    def _round(self) -> None:
        self._timer = self._loop.call_later(EVERY_S, self._round)
        for process in list(self._processes()):
            if process.pid is not None:
                self._look(process, process.pid)

    def _look(self, process: Monitored, pid: int) -> None:
        heartbeat, seen = process.heartbeat, activity(pid)
        works = seen.busy or seen.worked != heartbeat.worked
        # Not at the first silent round, which most idle processes have until they answer.
        if works or (heartbeat.silent and seen.threads > 1 and _a_thread_is_busy(pid)):
            heartbeat.worked, heartbeat.silent = seen.worked, 0
        else:
            heartbeat.silent += 1
        if heartbeat.answers and not heartbeat.asked:
            heartbeat.asked = True
            process.ask()
        if seen.threads > self._most_threads:
            self._give_up(process, f"{seen.threads} threads; at most {self._most_threads} may run")
        elif heartbeat.silent >= SILENT_ROUNDS:
            self._give_up(process, f"silent for {EVERY_S * SILENT_ROUNDS:g} s")


def activity(pid: int) -> Activity:
    """Return the state of a process; an empty ``Activity`` if there is no such process."""
    try:
        fields = _stat(Path(f"/proc/{pid}"))
    except OSError:
        return Activity()
    return Activity(fields[0] in _BUSY, int(fields[11]) + int(fields[12]), int(fields[17]))


def _a_thread_is_busy(pid: int) -> bool:
    """Return whether a thread of a process runs or waits for a disk. The main thread of a loader
    sleeps while others read for it."""
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):  # one that has just ended
            if _stat(thread)[0] in _BUSY:
                return True
    return False


def _stat(folder: Path) -> list[str]:
    """Read proc_pid_stat(5) from the third field, the state. Raise ``OSError`` if it has ended."""
    stat = (folder / "stat").read_text(encoding="ascii", errors="replace")
    return stat[stat.rindex(")") + 2 :].split()
