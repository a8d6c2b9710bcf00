"""The harness's side: accepts load hosts and gives each its part of a replay."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from functools import partial
from typing import Any, Self, TypeVar

from harness.errors import HarnessError
from systems.runtime.links.connecting import Listener
from systems.runtime.links.link import Link

from ..plan import Plan
from .messages import Bye
from .seen import LoadHost
from .session import COLLECT_S, LoadSession

_JOIN_S = 600.0
"""Timeout for all hosts to connect. Long, because people may start them by hand."""

T = TypeVar("T")


def _tell(line: str) -> None:
    print(f"load hosts: {line}", file=sys.stderr, flush=True)


class LoadHosts:
    """Accepts ``count`` hosts that know ``key``, at ``address``. Runs in its own thread, because
    replays block while their driver runs. ``tell`` gets a line per host that is refused or lost."""

    def __init__(
        self,
        key: str,
        count: int,
        address: str,
        port: int,
        tell: Callable[[str], None] = _tell,
    ) -> None:
        self.key, self.count, self.tell = key, count, tell
        self.address, self.port = address, port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="load-hosts")
        self._listener: Listener | None = None
        self._sessions: list[LoadSession] = []
        self._given: list[LoadSession] = []

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self.port = self._do(self._open(), 10)
        except BaseException as error:
            self._end()
            if not isinstance(error, OSError):
                raise
            raise HarnessError(f"load hosts: cannot listen on {self.address}: {error}") from error
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._do(self._close(), 10)
        finally:
            self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T], limit_s: float) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(limit_s)

    async def _open(self) -> int:
        self._listener = Listener(self.key, self._come, self.tell)
        return await self._listener.open(self.address, self.port)

    def _come(self) -> Link:
        return LoadSession(self._sessions, self.tell).link

    async def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        links = [session.link for session in self._sessions]
        for link in links:
            link.send(Bye())
        await asyncio.gather(*(link.finish() for link in links))

    # -- from the thread that replays -------------------------------------------------------

    def await_all(self) -> None:
        """Wait until all hosts are connected and their clock offsets are measured. Raise
        ``HarnessError`` if they do not connect in time."""
        try:
            self._do(self._all_there(), _JOIN_S)
        except (TimeoutError, CancelledError) as error:
            raise HarnessError(
                f"load hosts: {len(self._sessions)} of {self.count} connected to"
                f" {self.address}:{self.port}; start slbench load-worker on the others"
            ) from error

    async def _all_there(self) -> None:
        while len(self._sessions) < self.count:
            await asyncio.sleep(0.05)

    def begin(self, plan: Plan, on_lost: Callable[[int], None]) -> None:
        """Give each host its part in a replay whose Locust master is about to listen. Calls
        ``on_lost`` with a worker whose host is lost."""
        self.await_all()
        self._given = self._sessions[: self.count]
        for worker, session in enumerate(self._given, plan.workers - plan.elsewhere):
            # The cores are those of this host.
            own = plan.model_copy(update={"worker": worker, "cores": ()})
            self._do(session.give(own, partial(on_lost, worker)), _JOIN_S)

    def collect(self) -> tuple[LoadHost, ...]:
        """End the parts that still run and collect all records in the replay's folder."""
        return tuple(
            self._do(session.collect(f"load-{index}"), COLLECT_S + 10)
            for index, session in enumerate(self._given)
        )
