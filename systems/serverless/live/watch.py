"""Notices a process that is there and yet gone: stopped, or waiting for what never comes.

A process is asked whether it is there, and is busy, and so alive, as long as it uses the processor
or waits for a disk, however long a step takes: no deadline depends on the size of a model. Rounds
are counted and not seconds, so that a gateway that was itself stopped blames nobody for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

EVERY_S = 1.0
SILENT_ROUNDS = 5
"""Rounds in a row without a word and without work, after which a process is given up."""

_BUSY = frozenset("RD")


@dataclass(slots=True)
class Pulse:
    """What was last seen of a process."""

    answers: bool = True
    """It listens while it works; one that does not owes its result all the time."""
    asked: bool = False
    silent: int = 0
    worked: int = -1

    def heard(self) -> None:
        self.asked, self.silent = False, 0


class Watched(Protocol):
    """A process on a channel; ``pid`` is None until it is known."""

    pid: int | None
    pulse: Pulse

    def ask(self) -> None:
        """Send a question that a live process answers."""


class Watch:
    """Looks at ``processes()`` every second; ``give_up`` gets those that are silent too long."""

    def __init__(
        self, processes: Callable[[], Iterable[Watched]], give_up: Callable[[Watched], None]
    ) -> None:
        self._processes = processes
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(EVERY_S, self._round)

    def close(self) -> None:
        self._timer.cancel()

    def _round(self) -> None:
        self._timer = self._loop.call_later(EVERY_S, self._round)
        for process in list(self._processes()):
            if process.pid is not None:
                self._look(process, process.pid)

    def _look(self, process: Watched, pid: int) -> None:
        pulse = process.pulse
        busy, worked = activity(pid)
        if busy or worked != pulse.worked:
            pulse.worked, pulse.silent = worked, 0
        else:
            pulse.silent += 1
        if pulse.answers and not pulse.asked:
            pulse.asked = True
            process.ask()
        if pulse.silent >= SILENT_ROUNDS:
            self._give_up(process)


def activity(pid: int) -> tuple[bool, int]:
    """Whether a process runs or waits for a disk right now, and the processor time it has used,
    in clock ticks; (False, 0) where there is none. Fields of proc_pid_stat(5)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False, 0
    fields = stat[stat.rindex(")") + 2 :].split()
    return fields[0] in _BUSY, int(fields[11]) + int(fields[12])
