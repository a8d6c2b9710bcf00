"""A process of the platform as its gateway knows it."""

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
"""How long a process that closed its channel or was told to stop may take to end."""


@dataclass(slots=True, eq=False)
class Child:
    """A process and the gateway's ends of its channel and of what it prints."""

    role: str
    channel: AsyncChannel
    output: Output
    on_message: Callable[[Message, list[int]], None]
    on_exit: Callable[[int | None], None]
    pid: int | None = None
    popen: subprocess.Popen[bytes] | None = None
    ended: bool = False
    doomed: bool = False
    """To be killed as soon as it is known to have begun."""
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    verdict: str = ""
    """Why the node ended it."""
    used_ns: int | None = None
    """Processor time of all its life, once it has ended; None where nobody could tell."""

    def ask(self) -> None:
        self.channel.send(Ping())


def kill(child: Child) -> None:
    """Unless it has ended; one that is not known to have begun, as soon as it is."""
    child.doomed = True
    if not child.ended and child.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)


def why(returncode: int | None) -> str:
    """In words; None: the word came from nobody."""
    if returncode is None:
        return "ended with the process it was forked from"
    if returncode < 0:
        return f"killed by {signal.Signals(-returncode).name}"
    return f"exit status {returncode}"
