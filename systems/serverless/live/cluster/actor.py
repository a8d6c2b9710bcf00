"""The Ray actor on each machine: it starts that machine's agent and waits for its end.

The agent is a process of its own, so that it shares no processor time with Ray's threads and does
not inherit Ray's environment. The kernel kills it when its actor ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from systems.runtime import process
from systems.runtime.links import secret


class NodeAgent:
    """Runs one agent: call ``start`` once, then ``wait``."""

    def __init__(self) -> None:
        self._agent: subprocess.Popen[str] | None = None

    def start(self, gateway: str, port: int, name: str, key: str, cores: Sequence[int]) -> str:
        """Return the agent's line: ``Joined`` once the gateway uses it, or ``StartFailed``.
        ``cores``: the only cores of the agent and its instances; empty: all of this process."""
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
        return self._agent.stdout.readline()

    def wait(self) -> int:
        """Wait for the agent's end and return its exit status."""
        assert self._agent is not None, "start comes first"
        return self._agent.wait()
