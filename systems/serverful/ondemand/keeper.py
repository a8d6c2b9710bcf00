"""Carries out what the fleet decides. The calls wait here for their servers."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple

from systems.errors import DeploymentError
from systems.interface import Decision, Span, Stage
from systems.runtime.journal import Journal

from .actions import Action, End, Fail, Forward, Sleep, Start, Transition, Wake
from .calls import ProxiedCall, trace
from .fleet import Fleet
from .ledger import Ledger
from .server import SleepingServer

_WATCH_S = 0.2
_READ_S = 4.0
_NS = 1e9

_FAILED = {
    Start: "could not be started",
    Wake: "could not be woken",
    Sleep: "could not be put to sleep",
}


class UnavailableError(Exception):
    """The call's server cannot serve it. The message is one line."""


class Roused(NamedTuple):
    """A start or a wake of a server."""

    span: Span
    started: bool


class Keeper:
    """Runs in the event loop, its only thread."""

    def __init__(
        self,
        fleet: Fleet,
        servers: Mapping[str, SleepingServer],
        ledger: Ledger,
        journal: Journal,
    ) -> None:
        self._fleet, self._servers = fleet, servers
        self._ledger, self._journal = ledger, journal
        self._calls: dict[int, ProxiedCall] = {}
        self._running: dict[str, set[int]] = {name: set() for name in servers}
        self._roused: dict[str, deque[Roused]] = {name: deque(maxlen=2) for name in servers}
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    # -- calls ------------------------------------------------------------------------------

    async def enter(self, call: ProxiedCall) -> None:
        """Wait until the call may go to its server. ``UnavailableError`` if it never may."""
        self._calls[call.id] = call
        now_ns = time.monotonic_ns()
        self._act(self._fleet.arrived(call.id, call.server, now_ns), now_ns)
        await call.permit

    def leave(self, call: ProxiedCall, responded_ns: int | None) -> None:
        """Release a call and journal its trace, once. ``responded_ns``: when the last bytes of its
        response are written; None: they never reach the client."""
        if self._calls.pop(call.id, None) is None:
            return
        now_ns = call.done_ns = time.monotonic_ns()
        running = self._running[call.server]
        if call.id in running:
            running.remove(call.id)
            if not running:
                self._ledger.idle(self._servers[call.server].plan, now_ns)
        self._journal.request(trace(call, responded_ns))
        self._act(self._fleet.left(call.id, now_ns), now_ns)

    def _forward(self, id_: int, now_ns: int) -> None:
        call = self._calls[id_]
        waited = [each for each in self._roused[call.server] if each.span.end_ns > call.received_ns]
        call.roused = tuple(each.span for each in waited)
        call.started_for_it = any(each.started for each in waited)
        call.forwarded_ns = now_ns
        self._running[call.server].add(id_)
        self._ledger.busy(call.server, now_ns)
        if not call.permit.done():
            call.permit.set_result(None)

    def _fail(self, id_: int, reason: str) -> None:
        permit = self._calls[id_].permit
        if not permit.done():
            permit.set_exception(UnavailableError(reason))

    # -- servers ----------------------------------------------------------------------------

    def _act(self, actions: Iterable[Action], now_ns: int) -> None:
        for action in actions:
            match action:
                case Forward(id_):
                    self._forward(id_, now_ns)
                case Fail(id_, reason):
                    self._fail(id_, reason)
                case _:
                    self._in_background(self._carry_out(action))
        if self._timer is not None:
            self._timer.cancel()
        due_ns = self._fleet.due(now_ns)
        if due_ns is not None:
            self._timer = self._loop.call_later((due_ns - now_ns) / _NS, self._tick)

    def _tick(self) -> None:
        now_ns = time.monotonic_ns()
        self._act(self._fleet.tick(now_ns), now_ns)

    def _in_background(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, action: Transition) -> None:
        """Carry a transition out, and tell the fleet how it ended."""
        server, start_ns = self._servers[action.server], time.monotonic_ns()
        try:
            await self.transition(action)
        except DeploymentError as error:
            self._journal.problem(str(error))
            reason = f"{server.plan.name} {_FAILED[type(action)]}"
            now_ns = time.monotonic_ns()
            return self._act(self._fleet.failed(action.server, reason, now_ns), now_ns)
        now_ns = time.monotonic_ns()
        if isinstance(action, Start | Wake):
            span = Span(Stage.WARMING, start_ns, now_ns)
            self._roused[action.server].append(Roused(span, isinstance(action, Start)))
        return self._act(self._fleet.done(action.server, now_ns), now_ns)

    async def transition(self, action: Transition) -> None:
        """Change a server and record what that took and what it then holds on the card. Raise
        ``DeploymentError`` if it fails."""
        server, start_ns = self._servers[action.server], time.monotonic_ns()
        work, held = self._steps(server)[type(action)]
        kind = self._kind(action)
        if isinstance(action, Wake):
            self._ledger.wakes(server.plan)
        await work()
        took_ns = time.monotonic_ns() - start_ns
        if isinstance(action, Start):
            await self._ledger.read_processes(server)
        held()
        self._tell(kind, action.server, took_ns)

    async def deploy(self, names: Iterable[str]) -> None:
        """Start these servers together, then put them to sleep, one after another. Raise
        ``DeploymentError`` if one fails; the others may be starting then."""
        servers = [self._servers[name] for name in names]
        took_ns = await asyncio.gather(*map(_started, servers))
        for each in servers:
            await self._ledger.read_processes(each)
        self._ledger.awake(*(each.plan for each in servers))
        for each, each_ns in zip(servers, took_ns, strict=True):
            self._tell("start", each.plan.name, each_ns)
        for each in servers:
            await self.transition(Sleep(each.plan.name))
            self._ledger.serving(each)

    def _tell(self, kind: str, server: str, took_ns: int) -> None:
        """Journal a transition and what the server then holds on the card."""
        held = self._ledger.held(server)
        numbers = {"server": server, "took_ns": took_ns, "device_bytes": held}
        self._journal.decision(Decision(time.monotonic_ns(), kind, numbers))

    def _kind(self, action: Transition) -> str:
        """Name the action. The first sleep of a process allocates its host memory, and so takes
        much longer than the others."""
        first = isinstance(action, Sleep) and not self._ledger.has_slept(action.server)
        return "first_sleep" if first else type(action).__name__.lower()

    def _steps(
        self, server: SleepingServer
    ) -> Mapping[type[Transition], tuple[Callable[[], Awaitable[None]], Callable[[], None]]]:
        ledger, plan = self._ledger, server.plan
        return {
            Start: (server.start, lambda: ledger.awake(plan)),
            Wake: (server.wake, lambda: ledger.awake(plan)),
            Sleep: (server.sleep, lambda: ledger.asleep(plan)),
            End: (server.end, lambda: ledger.ended(plan)),
        }

    async def watch(self) -> None:
        """Tell the fleet of servers that have died. Runs until it is cancelled."""
        while True:
            await asyncio.sleep(_WATCH_S)
            for name in self._fleet.resting():
                how = self._servers[name].ended()
                if how is not None:
                    self._journal.problem(f"{name}: ended while it served, {how}")
                    now_ns = time.monotonic_ns()
                    self._act(self._fleet.died(name, now_ns), now_ns)

    async def meter(self) -> None:
        """Read what the servers hold and use. Runs until it is cancelled."""
        while True:
            await self.read()
            await asyncio.sleep(_READ_S)

    async def read(self) -> None:
        for server in self._servers.values():
            await self._ledger.read_processes(server)
        # A server in transition is what the card's memory changes by.
        for name in self._fleet.moving() or self._fleet.resting():
            self._ledger.read(self._servers[name].plan)

    def close(self) -> None:
        """Cancel what is in progress and what is due."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()


async def _started(server: SleepingServer) -> int:
    """Start a server and warm it up. Return how long that took, in nanoseconds."""
    start_ns = time.monotonic_ns()
    await server.start()
    await server.warm()
    return time.monotonic_ns() - start_ns
