"""A process of the platform as its gateway knows it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

from .watch import Pulse
from .wire import AsyncChannel, Message


@dataclass(slots=True, eq=False)
class Child:
    """A process and the gateway's end of its channel."""

    channel: AsyncChannel
    on_message: Callable[[Message, list[int]], None]
    on_exit: Callable[[int | None], None]
    pid: int | None = None
    popen: subprocess.Popen[bytes] | None = None
    ended: bool = False
    pulse: Pulse = field(default_factory=Pulse)
    verdict: str = ""
    """Why the node ended it."""

    def ask(self) -> None:
        self.channel.send("ping")
