"""Reports progress on standard error: on a terminal a bar with elapsed and remaining time, or the
live view of a run; elsewhere one line per step. Standard output is left for results."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from harness.watch import Watch, watch


class Advance(Protocol):
    """Sets the progress bar to ``done`` of ``total``."""

    def __call__(self, done: float, total: float) -> None: ...


def _quietly(done: float, total: float) -> None:
    """Do nothing: there is no terminal."""
    del done, total


class Progress:
    """Prints what the runner is doing."""

    def __init__(self, stream: Any = None) -> None:
        self._stream = stream or sys.stderr
        self.watch = Watch((), self._stream)
        """What follows the run that goes on."""

    def say(self, text: str) -> None:
        self.watch.say(text)

    @contextmanager
    def watching(self, lengths_s: Sequence[float]) -> Iterator[Watch]:
        """Show a run of cells, whose loads take ``lengths_s``, while the block runs."""
        before = self.watch
        with watch(lengths_s, self._stream) as self.watch:
            try:
                yield self.watch
            finally:
                self.watch = before

    @contextmanager
    def bar(self, title: str, unit: str) -> Iterator[Advance]:
        """Show a bar while the block runs. Yield the function that advances it."""
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
