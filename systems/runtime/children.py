"""The gateway's handle of a child process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

from .channel import AsyncChannel
from .liveness import Heartbeat
from .messages import Message, Ping
from .output import Output

GRACE_S = 2.0
"""Time for a process to end after it closed its channel or was told to stop."""


@dataclass(slots=True, eq=False)
class Child:
    """A process, and the gateway's ends of its channel and its output pipe."""

    role: str
    channel: AsyncChannel
    output: Output
    on_message: Callable[[Message, list[int]], None]
    on_exit: Callable[[int | None], None]
    pid: int | None = None
    popen: subprocess.Popen[bytes] | None = None
    ended: bool = False
    doomed: bool = False
    """Kill it as soon as its pid is known."""
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    verdict: str = ""
    """Why the node ended it."""
    used_ns: int | None = None
    """Processor time of its whole life, set when it has ended; None if it is unknown."""

    def ask(self) -> None:
        self.channel.send(Ping())

    def tell_end(self, returncode: int | None) -> None:
        """Call ``on_exit``, and forget the callbacks, which refer to this child: a cycle would stay
        until the garbage collector looks at all objects of the gateway."""
        tell = self.on_exit
        self.on_message = self.on_exit = _tell_nobody
        tell(returncode)


def _tell_nobody(*_: object) -> None:
    """Take what an ended child would tell."""


def kill(child: Child) -> None:
    """Kill ``child`` unless it has ended; if its pid is not known yet, as soon as it is."""
    child.doomed = True
    if not child.ended and child.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)


def why(returncode: int | None) -> str:
    """Describe an exit status; None: no process could wait for the child."""
    if returncode is None:
        return "ended with the process it was forked from"
    if returncode < 0:
        return f"killed by {signal.Signals(-returncode).name}"
    return f"exit status {returncode}"
