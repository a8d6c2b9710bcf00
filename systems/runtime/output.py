"""Output of child processes: each prints into a pipe, and the platform keeps the last bytes.

An instance may print without end. It then fills the pipe and blocks; the platform reads one pipeful
at a time, with pauses, so that the output takes no disk space and little time of the platform.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable

KEPT_BYTES = 16 << 10
"""Bytes kept of each process: the last ones."""
TOLD_BYTES = 4 << 20
"""Bytes shown of all processes together during one run of the platform."""

_PIPEFUL = 64 << 10
_PAUSE_S = 0.05
_MOST_PIPEFULS = 16
"""Size to which a process may enlarge its pipe (``fs.pipe-max-size``)."""


class Output:
    """The reading end of a pipe. ``writer`` is the other end: the code that starts the process
    passes it on and then closes it. Raises ``OSError`` if no pipe can be made."""

    def __init__(self) -> None:
        self._reader, writer = os.pipe2(os.O_CLOEXEC)
        self.writer = os.fdopen(writer, "wb", buffering=0)
        os.set_blocking(self._reader, False)
        self._kept = b""
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._reader, self._readable)

    def close(self) -> str:
        """Stop reading; return the last output as text without control characters."""
        self.writer.close()
        self._loop.remove_reader(self._reader)
        if self._pause is not None:
            self._pause.cancel()
        for _ in range(_MOST_PIPEFULS):
            if not self._take():
                break
        os.close(self._reader)
        lines = self._kept.decode("utf-8", "replace").splitlines()
        return "\n".join(_printable(line) for line in lines)

    def _readable(self) -> None:
        self._loop.remove_reader(self._reader)
        if self._take():
            self._pause = self._loop.call_later(_PAUSE_S, self._listen)

    def _listen(self) -> None:
        self._loop.add_reader(self._reader, self._readable)

    def _take(self) -> bool:
        """Read one pipeful; return whether there was data."""
        try:
            data = os.read(self._reader, _PIPEFUL)
        except BlockingIOError:
            return False
        self._kept = (self._kept + data)[-KEPT_BYTES:]
        return bool(data)


def redirect(writer: int) -> None:
    """Redirect standard output and standard error of this process into a pipe."""
    for standard in (1, 2):
        os.dup2(writer, standard)
    os.close(writer)


class Told:
    """Copies the output of processes to the platform's own standard error."""

    def __init__(self) -> None:
        self._left = TOLD_BYTES

    def tell(self, who: str, printed: str) -> None:
        for line in self._lines(who, printed):
            try:
                print(line, file=sys.stderr, flush=True)
            except OSError:
                return  # a full disk must not end the platform

    def _lines(self, who: str, printed: str) -> Iterable[str]:
        if self._left <= 0 or not printed:
            return
        for line in printed.splitlines():
            self._left -= len(line) + 1
            yield f"{who}: {line}"
        if self._left <= 0:
            yield f"processes printed more than {TOLD_BYTES} bytes; no more is shown"


def _printable(line: str) -> str:
    return "".join(each if each.isprintable() or each == "\t" else "\ufffd" for each in line)
