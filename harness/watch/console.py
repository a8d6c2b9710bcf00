"""Follows a run and shows it on standard error: a live view in a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from ..replay.messages import Ended
from .clock import RunClock
from .gateway import GatewayPoll, GatewayView
from .load import Load
from .text import RunView, clock, line, screen

if TYPE_CHECKING:
    from systems.interface import Endpoint

    from ..replay import Schedule

LINE_EVERY_S = 15.0
_REFRESH_HZ = 2


class Watch:
    """The state that is shown. The methods are called by the executor as it goes."""

    def __init__(self, lengths_s: Sequence[float], stream: Any) -> None:
        self._clock = RunClock(lengths_s)
        self._stream = stream
        self._title = self._phase = ""
        self._load: Load | None = None
        self._poll: GatewayPoll | None = None
        self._said_s = 0.0
        self.say: Callable[[str], None] = self._print

    @property
    def terminal(self) -> bool:
        return bool(self._stream.isatty())

    @contextmanager
    def cell(self, title: str) -> Iterator[None]:
        """A cell runs while the block does."""
        self._title = title
        began_s = time.monotonic()
        self._clock.begin(began_s)
        if not self.terminal:
            self.say(f"[{self._clock.cell}] {title}")
        yield
        now_s = time.monotonic()
        if self.terminal:
            self.say(f"[{self._clock.cell}] {title}: {clock(now_s - began_s)}")
        self._clock.end(now_s)

    def phase(self, text: str, *, told: bool = False) -> None:
        """What the run does from now on, such as ``deploying``. ``told``: worth a line where there
        is no terminal."""
        self._phase = text
        if told and not self.terminal:
            self.say(text)

    @contextmanager
    def load(self, schedule: Schedule, endpoint: Endpoint, *, closed: bool) -> Iterator[Watch]:
        """Load is sent while the block runs. Yields what follows it."""
        table = schedule.table
        self._load = Load(
            table["function_id"].to_pylist(), table["scheduled_ns"].to_pylist(), closed=closed
        )
        self._said_s = time.monotonic()
        self.phase("sending load")
        with ExitStack() as stack:
            if self.terminal:
                self._poll = stack.enter_context(GatewayPoll(endpoint))
            try:
                yield self
            finally:
                self._load = self._poll = None

    def started(self, start_ns: int) -> None:
        if self._load is not None:
            self._load.started(start_ns)

    def ended(self, requests: Sequence[Ended]) -> None:
        now_ns = time.monotonic_ns()
        if self._load is not None:
            self._load.ended(requests, now_ns)
        if not self.terminal and now_ns / 1e9 - self._said_s > LINE_EVERY_S:
            self._said_s = now_ns / 1e9
            self.say(line(self.view()))

    def view(self) -> RunView:
        """Return the present moment."""
        load, poll = self._load, self._poll
        return RunView(
            self._clock.cell,
            self._title,
            self._phase,
            self._clock.left_s(time.monotonic()),
            None if load is None else load.view(time.monotonic_ns()),
            GatewayView() if poll is None else poll.latest,
        )

    def __rich__(self) -> Any:
        return screen(self.view())

    def _print(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


@contextmanager
def watch(lengths_s: Sequence[float], stream: Any) -> Iterator[Watch]:
    """Show a run of cells whose loads take ``lengths_s``, until the block ends."""
    shown = Watch(lengths_s, stream)
    if not shown.terminal:
        yield shown
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(file=stream)
    shown.say = lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True)
    with Live(shown, console=console, refresh_per_second=_REFRESH_HZ, transient=True):
        yield shown
