"""The harness's side: where load hosts come to, and what each is given."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from systems.runtime.links.handshake import Door
from systems.runtime.links.link import Message
from systems.runtime.links.offset import ClockOffset, Exchange, clock_id

from ...errors import HarnessError
from ..plan import Plan
from .files import send_file, take_piece
from .seen import LoadHost
from .tunnel import KINDS, Tunnel

_EVERY_S = 1.0
_FIRST = 8
"""Exchanges before a host counts as there."""
_JOIN_S = 600.0
"""For all hosts to come: whoever starts them has to type."""
_COLLECT_S = 60.0
"""For what a host recorded to arrive, once the run is over."""

T = TypeVar("T")


class LoadHosts:
    """``count`` hosts that know ``key``, at ``address``. A thread of its own: replays wait for
    their driver meanwhile."""

    def __init__(self, key: str, count: int, address: str, port: int) -> None:
        self.key, self.count = key, count
        self.address, self.port = address, port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="load-hosts")
        self._server: asyncio.Server | None = None
        self._guests: list[_Guest] = []
        self._given: list[_Guest] = []

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self.port = self._do(self._open(), 10)
        except OSError as error:
            self._end()
            raise HarnessError(f"load hosts: cannot listen on {self.address}: {error}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._do(self._close(), 10)
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T], limit_s: float) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(limit_s)

    async def _open(self) -> int:
        self._server = await self._loop.create_server(self._come, self.address, self.port)
        return int(self._server.sockets[0].getsockname()[1])

    def _come(self) -> Door:
        return _Guest(self.key, self._guests).link

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for guest in list(self._guests):
            guest.link.send("bye")
            await guest.link.finish()

    # -- from the thread that replays -------------------------------------------------------

    def await_all(self) -> None:
        """Until all are there, their clocks related. ``HarnessError`` where they do not come."""
        try:
            self._do(self._all_there(), _JOIN_S)
        except (TimeoutError, CancelledError) as error:
            raise HarnessError(
                f"load hosts: {len(self._guests)} of {self.count} came to"
                f" {self.address}:{self.port}; start slbench load-worker on the others"
            ) from error

    async def _all_there(self) -> None:
        while len(self._guests) < self.count:
            await asyncio.sleep(0.05)

    def begin(self, plan: Plan, on_lost: Callable[[], None]) -> None:
        """Give each host its part in a replay whose Locust master is about to listen."""
        self.await_all()
        self._given = self._guests[: self.count]
        for guest in self._given:
            self._do(guest.give(plan, on_lost), _JOIN_S)

    def collect(self, out_dir: Path) -> tuple[LoadHost, ...]:
        """Bring what they recorded to ``out_dir``; whoever is still at it ends now."""
        return tuple(
            self._do(guest.collect(f"load-{index}", out_dir), _COLLECT_S + 10)
            for index, guest in enumerate(self._given)
        )


class _Guest:
    """A load host. Lives in the loop; it is one of ``guests`` while it is there."""

    def __init__(self, key: str, guests: list[_Guest]) -> None:
        self.link = Door(key, self._known, self._hear, self._closed)
        self._guests = guests
        self._clock = ClockOffset()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._at_start = Exchange(0, 0)
        self._plan: Plan | None = None
        self._folder: Path | None = None
        self._tunnel = Tunnel(self.link, self._master_port)
        self._on_lost: Callable[[], None] = lambda: None
        self._names: frozenset[str] = frozenset()
        self._ended = asyncio.Event()
        self._lost = False

    def _known(self, message: Message) -> None:
        self._clock = ClockOffset(same=message["clock"] == clock_id())
        self._ask()

    def _ask(self) -> None:
        self.link.send("ping", asked_ns=time.monotonic_ns())

    def _hear(self, message: Message) -> None:
        kind = message["kind"]
        if kind in KINDS:
            self._tunnel.hear(message)
        elif kind == "pong":
            self._pong(message)
        elif kind == "file" and self._plan is not None:
            take_piece(message, self._plan.out_dir, self._names)
        elif kind == "ended":
            if message["status"] != 0:
                self._lose()
            self._ended.set()
        else:
            raise ValueError(f"nobody waits for {kind!r}")

    def _pong(self, message: Message) -> None:
        self._clock.heard(message["asked_ns"], message["t_ns"], time.monotonic_ns())
        if len(self._clock) < _FIRST:
            self._ask()
            return
        if self not in self._guests:
            self._guests.append(self)
        self._timer = self._loop.call_later(_EVERY_S, self._ask)

    def _master_port(self) -> int:
        assert self._plan is not None, "a tunnel is opened for a replay"
        return self._plan.master_port

    async def give(self, plan: Plan, on_lost: Callable[[], None]) -> None:
        self._plan, self._on_lost, self._lost = plan, on_lost, False
        self._names = frozenset(plan.part(worker).name for worker in range(plan.workers))
        self._ended.clear()
        self._at_start = self._clock.measured
        offset_ns = 0 if self._clock.same else self._at_start.offset_ns
        content = plan.model_copy(update={"clock_offset_ns": offset_ns})
        self.link.send("share", plan=content.model_dump(mode="json"))
        await send_file(self.link, plan.schedule)

    async def collect(self, name: str, out_dir: Path) -> LoadHost:  # noqa: ARG002
        if not self._ended.is_set() and not self.link.closed.is_set():
            self.link.send("stop")
        waiting = {
            asyncio.ensure_future(self._ended.wait()),
            asyncio.ensure_future(self.link.closed.wait()),
        }
        await asyncio.wait(waiting, timeout=_COLLECT_S, return_when=asyncio.FIRST_COMPLETED)
        for each in waiting:
            each.cancel()
        self._plan = None
        return LoadHost(
            name=name,
            same_clock=self._clock.same,
            offset_ns=self._at_start.offset_ns,
            error_ns=self._at_start.error_ns,
            last_offset_ns=self._clock.measured.offset_ns,
            lost=self._lost or not self._ended.is_set(),
        )

    def _lose(self) -> None:
        if not self._lost:
            self._lost = True
            self._on_lost()

    def _closed(self, why: str) -> None:  # noqa: ARG002
        if self._timer is not None:
            self._timer.cancel()
        if self in self._guests:
            self._guests.remove(self)
        self._tunnel.close()
        if self._plan is not None and not self._ended.is_set():
            self._lose()
