"""The harness's session with one load host: its part, and the messages that it may send."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from systems.runtime.links.link import Expected, Link
from systems.runtime.links.message import Pong
from systems.runtime.links.offset import ClockOffset, Exchange, Questions, clock_id
from systems.runtime.links.tls import HANDSHAKE_S

from ..plan import Plan
from .files import Incoming, send_file
from .messages import Ended, FromWorker, Piece, Share, Stop, WorkerHello
from .parts import take_part
from .seen import LoadHost
from .tunnel import Tunnel

_EVERY_S = 1.0
_FIRST = 8
"""Clock exchanges before a host counts as connected."""
COLLECT_S = 60.0
"""Timeout for a host's records to arrive after the run."""


class LoadSession:
    """A load host's connection, in the event loop of :class:`.LoadHosts`. The host introduces
    itself and its clock offset is measured; then it is in ``sessions`` until it disconnects."""

    def __init__(self, sessions: list[LoadSession], tell: Callable[[str], None]) -> None:
        first: Expected = {WorkerHello: self._introduced}
        self.link = Link(FromWorker, first, self._closed, HANDSHAKE_S)
        self._sessions, self._tell = sessions, tell
        self._questions = Questions(ClockOffset())
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._at_start = Exchange(0, 0)
        self._plan: Plan | None = None
        self._incoming: Incoming | None = None
        self._tunnel = Tunnel(self.link, self._master_port)
        self._on_lost: Callable[[], None] = lambda: None
        self._ended = asyncio.Event()
        self._lost = False

    @property
    def _clock(self) -> ClockOffset:
        return self._questions.clock

    def _introduced(self, hello: WorkerHello) -> None:
        self._questions = Questions(ClockOffset(same=hello.clock == clock_id()))
        self.link.expect(self._between_shares())
        self._ask()

    def _between_shares(self) -> Expected:
        return {Pong: self._pong, **self._tunnel.carries}

    def _during_share(self) -> Expected:
        return {
            **self._between_shares(),
            **self._tunnel.opens,
            Piece: self._piece,
            Ended: self._has_ended,
        }

    def _ask(self) -> None:
        self.link.send(self._questions.ask(time.monotonic_ns()))

    def _piece(self, piece: Piece) -> None:
        assert self._incoming is not None, "pieces come during a share"
        self._incoming.take(piece)

    def _has_ended(self, message: Ended) -> None:
        self.link.expect(self._between_shares())
        if message.status != 0:
            self._lose()
        self._ended.set()

    def _pong(self, pong: Pong) -> None:
        self._questions.answered(pong, time.monotonic_ns())
        if len(self._clock) < _FIRST:
            self._ask()
            return
        if self not in self._sessions:
            self._sessions.append(self)
        self._timer = self._loop.call_later(_EVERY_S, self._ask)

    def _master_port(self) -> int:
        assert self._plan is not None, "a tunnel is opened for a replay"
        return self._plan.master_port

    async def give(self, plan: Plan, on_lost: Callable[[], None]) -> None:
        self._plan, self._on_lost, self._lost = plan, on_lost, False
        folder = Path(tempfile.mkdtemp(prefix="from-host-", dir=plan.out_dir))
        self._incoming = Incoming(folder, plan.part(plan.worker).name)
        self._ended.clear()
        self._at_start = self._clock.measured
        offset_ns = 0 if self._clock.same else self._at_start.offset_ns
        self.link.expect(self._during_share())
        self.link.send(Share(plan.model_copy(update={"clock_offset_ns": offset_ns})))
        await send_file(self.link, plan.schedule)

    async def collect(self, name: str) -> LoadHost:
        if not self._ended.is_set() and not self.link.closed.is_set():
            self.link.send(Stop())
        waiting = {
            asyncio.ensure_future(self._ended.wait()),
            asyncio.ensure_future(self.link.closed.wait()),
        }
        await asyncio.wait(waiting, timeout=COLLECT_S, return_when=asyncio.FIRST_COMPLETED)
        for each in waiting:
            each.cancel()
        self.link.expect(self._between_shares())
        self._take_part()
        self._plan = None
        return LoadHost(
            name=name,
            same_clock=self._clock.same,
            offset_ns=self._at_start.offset_ns,
            error_ns=self._at_start.error_ns,
            last_offset_ns=self._clock.measured.offset_ns,
            lost=self._lost or not self._ended.is_set(),
        )

    def _take_part(self) -> None:
        """Accept the host's records if they are of its own requests; else mark its part as lost."""
        if self._plan is None or self._incoming is None:
            return
        try:
            if self._incoming.path is not None:
                take_part(self._incoming.path, self._plan)
        except ValueError as error:
            self._tell(f"{self.link.peer} lost its part: {error}")
            self._lost = True
        shutil.rmtree(self._incoming.folder, ignore_errors=True)

    def _lose(self) -> None:
        if not self._lost:
            self._lost = True
            self._on_lost()

    def _closed(self, why: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self in self._sessions:
            self._sessions.remove(self)
        elif not self._ended.is_set():
            self._tell(f"{self.link.peer} was not used: {why}")
        self._tunnel.close()
        if self._plan is not None and not self._ended.is_set():
            self._tell(f"{self.link.peer} was lost: {why}")
            self._lose()
