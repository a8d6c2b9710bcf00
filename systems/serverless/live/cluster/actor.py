"""What Ray runs on each machine: an actor that starts that machine's agent and waits for its end.

The agent is a process of its own, so that Ray's threads take nothing from it and it inherits none
of Ray's environment; it ends with its actor, by the kernel's hand.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from systems.runtime import process
from systems.runtime.links import secret


class NodeAgent:
    """One agent's life: ``start`` once, then ``wait``."""

    def __init__(self) -> None:
        self._agent: subprocess.Popen[str] | None = None

    def start(
        self, gateway: str, port: int, name: str, key: str, cores: Sequence[int]
    ) -> dict[str, Any]:
        """``{"joined": NAME}`` once the gateway uses it, ``{"error": …}`` where it does not.
        ``cores``: those it and its instances are held to; none: all that this process has."""
        command = [sys.executable, "-m", f"{__package__}.agent", gateway, str(port), name]
        held = [",".join(map(str, cores))] if cores else []
        self._agent = subprocess.Popen(
            [*command, str(os.getpid()), *held],
            env={**process.environment(), secret.VARIABLE: key},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._agent.stdout is not None, "asked for a pipe"
        line = self._agent.stdout.readline()
        return json.loads(line) if line else {"error": f"{name}: its agent ended at once"}

    def wait(self) -> int:
        """The agent's exit status, once it has ended."""
        assert self._agent is not None, "start comes first"
        return self._agent.wait()
