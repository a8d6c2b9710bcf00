"""A server as a separate process tree: started, awaited, and ended with all descendants."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path

import psutil

from systems.errors import DeploymentError

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.2
_STOP_S = 15.0
_LAST_WORDS = 300


class ServerProcess:
    """The server leads its own session, so that terminal signals skip it and all of it can end."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> None:
        self.name, self.log = name, log
        libc = ctypes.CDLL(None)
        try:
            with log.open("wb") as out:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **environment},
                    start_new_session=True,
                    preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),
                )
        except OSError as error:
            raise DeploymentError(f"{name}: cannot start {command[0]}: {error}") from error
        self._family: dict[int, psutil.Process] = {}

    @property
    def pid(self) -> int:
        return self._process.pid

    def family(self) -> list[psutil.Process]:
        """Return the process and its descendants, including those seen before that have since
        lost their parent."""
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.pid)
            for each in (root, *root.children(recursive=True)):
                self._family.setdefault(each.pid, each)
        self._family = {pid: each for pid, each in self._family.items() if each.is_running()}
        return list(self._family.values())

    def wait_until(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait for ``ready``. Raise ``DeploymentError`` with the last output on exit or timeout."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if self._process.poll() is not None:
                status = self._process.returncode
                raise DeploymentError(
                    f"{self.name}: ended with status {status} before it answered: {self._said()}"
                )
            if time.monotonic() > deadline:
                raise DeploymentError(
                    f"{self.name}: did not answer within {timeout_s:g} s (start_timeout_s)"
                    f"{self._listening()}: {self._said()}"
                )
            time.sleep(_POLL_S)

    def ended(self) -> str | None:
        """Describe how the process ended; None while it runs."""
        status = self._process.poll()
        return None if status is None else f"status {status}: {self._said()}"

    def _listening(self) -> str:
        """Return on which ports the processes listen, which may be others than they were told."""
        ports: set[int] = set()
        for each in self.family():
            with contextlib.suppress(psutil.Error):
                found = each.net_connections("tcp")
                ports |= {end.laddr.port for end in found if end.status == psutil.CONN_LISTEN}
        return f"; it listens on port {', '.join(map(str, sorted(ports)))}" if ports else ""

    def _said(self) -> str:
        """Return the last error with the indented lines below it (pydantic puts the reason there),
        or else the last line."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        last = max((n for n, line in enumerate(lines) if "Error" in line), default=len(lines) - 1)
        if last < 0:
            return "no output"
        more = list(takewhile(lambda line: line[0].isspace(), lines[last + 1 :]))
        return " ".join(line.strip() for line in (lines[last], *more))[:_LAST_WORDS]

    def stop(self) -> None:
        """Send SIGTERM to the whole tree, then SIGKILL; may be called twice."""
        family = self.family()
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_S)
        _, left = psutil.wait_procs(family, timeout=_POLL_S)
        self._signal(signal.SIGKILL)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        psutil.wait_procs(left, timeout=_STOP_S)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)
