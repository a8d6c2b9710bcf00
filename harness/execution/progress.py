"""Progress on standard error: a bar with rate and time left on a terminal, a line a step elsewhere.
Standard output stays free for the answer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Advance(Protocol):
    """Told how much is done of how much."""

    def __call__(self, done: float, total: float) -> None: ...


def _quietly(done: float, total: float) -> None:
    """Nobody watches."""
    del done, total


class Progress:
    """What the runner is doing, for whoever watches."""

    def __init__(self, stream: Any = None) -> None:
        self._stream = stream or sys.stderr

    def say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    @contextmanager
    def bar(self, title: str, unit: str) -> Iterator[Advance]:
        """A bar while something countable goes on."""
        if not self._stream.isatty():
            self.say(title)
            yield _quietly
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bars

        columns = (
            TextColumn(title),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Bars(*columns, console=Console(file=self._stream)) as bars:
            task = bars.add_task(title)
            yield lambda done, total: bars.update(task, completed=done, total=total)
