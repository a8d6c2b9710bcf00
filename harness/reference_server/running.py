"""A reference server in a separate process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

from ..errors import HarnessError


@dataclass(frozen=True, slots=True)
class ReferenceServer:
    """A running reference server."""

    base_url: str
    pid: int

    def log(self) -> dict[int, dict[str, Any]]:
        """Return ``entries`` by request id, for requests with an id."""
        return {int(entry["request_id"]): entry for entry in self.entries() if entry["request_id"]}

    def entries(self) -> list[dict[str, Any]]:
        """Return the log since the last call, in order of arrival; the fields of
        ``server.Entry``."""
        with urlopen(f"{self.base_url}/log", timeout=30) as response:
            entries: list[dict[str, Any]] = json.load(response)
        return entries


@contextmanager
def running_reference_server() -> Iterator[ReferenceServer]:
    """Run a server on a free local port. It ends on exit, and with this process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.reference_server", "0", str(os.getpid())],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None, "asked for a pipe"
    try:
        port = process.stdout.readline().strip()
        if not port:
            raise HarnessError("the reference server did not start")
        yield ReferenceServer(f"http://127.0.0.1:{int(port)}", process.pid)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
