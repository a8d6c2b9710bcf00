"""A replica: one process that serves one backbone and runs batches across its adapters.

Before every iteration it handles the messages that have arrived and lets its batcher choose
requests. The chosen ones that have come from another replica get a slot and their keys and values
in it. The chosen ones that have not started are prefilled as one batch; if there are none, the
chosen ones decode one token each.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from systems.runtime import process
from systems.runtime.channel import Channel
from systems.runtime.messages import Cancel, Message, Request, StepToken, Stop
from systems.runtime.roles import Role

from . import messages as m
from .batcher import Queued

if TYPE_CHECKING:
    from systems.engine.migration import RequestSnapshot
    from systems.engine.requests import GenerationRequest, TokenEvent


def main(channel: Channel) -> int:
    return Replica(channel).run()


class Replica:
    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._engine: Any = None
        self._batcher: Any = None
        self._waiting: dict[int, GenerationRequest] = {}
        self._snapshots: dict[int, RequestSnapshot] = {}
        """Of the requests that have come from another replica and wait for a slot."""
        self._queue: dict[int, Queued] = {}
        self._slots = 0
        self._stopped = False
        self._on: dict[type[Message], Callable[[Any, list[int]], None]] = {
            m.Configure: self._configure,
            m.Hold: self._hold,
            m.Drop: self._drop,
            Request: self._request,
            Cancel: self._cancel,
            m.Release: self._release,
            m.Join: self._join,
            Stop: self._stop,
        }

    def run(self) -> int:
        """Serve until a ``Stop`` message arrives. Return the exit status."""
        while not self._stopped:
            received = self._channel.receive(0 if self._queue else None)
            while received is not None and not self._stopped:
                message, fds = received
                self._on[type(message)](message, fds)
                received = self._channel.receive(0)
            if self._queue:
                self._iterate()
        return 0

    def _iterate(self) -> None:
        running = len(self._engine.running)
        choice = self._batcher.choose(tuple(self._queue.values()), self._slots - running)
        if choice.merged != self._engine.merged:
            start_ns = time.monotonic_ns()
            self._engine.merge(choice.merged)
            self._channel.send(m.Switched(choice.merged, start_ns, time.monotonic_ns()))
        self._continue(choice.ids)
        fresh = [self._waiting.pop(id_) for id_ in choice.ids if id_ in self._waiting]
        start_ns = time.monotonic_ns()
        events = (
            self._engine.prefill(fresh) if fresh else self._engine.decode(frozenset(choice.ids))
        )
        for request in fresh:
            self._mark_started(request.request_id)
        for event in events:
            if event.finished:
                del self._queue[event.request_id]
        self._channel.send(m.Stepped(start_ns, time.monotonic_ns(), _tokens(events)))

    def _continue(self, ids: Iterable[int]) -> None:
        """Give a slot to each of the requests that has come from another replica and waits."""
        for id_ in ids:
            if id_ in self._snapshots:
                self._engine.join(self._snapshots.pop(id_))
                self._mark_started(id_)

    def _mark_started(self, request: int) -> None:
        self._queue[request] = replace(self._queue[request], started=True)

    # -- messages of the front --------------------------------------------------------------

    def _configure(self, message: m.Configure, fds: list[int]) -> None:  # noqa: ARG002
        """Load the backbone into this process's own memory and create the engine and batcher."""
        process.import_libraries(message.device)
        from . import engines
        from .schemes import SCHEMES

        engine = engines.MAKERS[message.device](message)
        self._slots = message.slots
        scheme = SCHEMES[message.scheme]
        self._engine = engine
        loads_s = {
            name: engines.hold(engine, name, Path(path)) for name, path in message.adapters.items()
        }
        timings = scheme.profile(engine, loads_s) if scheme.profile else {}
        self._batcher = scheme.batcher(message.slots, message.adapters, timings)
        self._channel.send(m.Ready(dict(timings)))

    def _hold(self, message: m.Hold, fds: list[int]) -> None:  # noqa: ARG002
        from . import engines

        engines.hold(self._engine, message.adapter, Path(message.path))

    def _drop(self, message: m.Drop, fds: list[int]) -> None:  # noqa: ARG002
        self._engine.drop(message.adapter)

    def _request(self, message: Request, fds: list[int]) -> None:  # noqa: ARG002
        request = message.request.for_engine()
        self._waiting[request.request_id] = request
        self._queue[request.request_id] = Queued(request.request_id, request.adapter, False)

    def _cancel(self, message: Cancel, fds: list[int]) -> None:  # noqa: ARG002
        request = message.request
        self._queue.pop(request, None)
        self._waiting.pop(request, None)
        self._snapshots.pop(request, None)
        self._engine.cancel(request)

    def _release(self, message: m.Release, fds: list[int]) -> None:  # noqa: ARG002
        """Return a request to the front: as it came if it has not started, else with its state. If
        it has ended, the front already has its last token."""
        from . import snapshots

        request = message.request
        queued = self._queue.pop(request, None)
        if queued is None:
            self._channel.send(m.Released(request, there=False))
        elif self._waiting.pop(request, None) is not None:
            self._channel.send(m.Released(request, there=True))
        else:
            snapshot = self._snapshots.pop(request, None) or self._engine.part(request)
            state, fd = snapshots.pack(snapshot)
            self._channel.send(m.Released(request, there=True, state=state), [fd])
            os.close(fd)

    def _join(self, message: m.Join, fds: list[int]) -> None:
        """Queue a request with its state, which it continues from once a slot is free."""
        from . import snapshots

        request = message.request.for_engine()
        snapshot = snapshots.unpack(request, message.state, fds[0])
        self._snapshots[request.request_id] = snapshot
        self._queue[request.request_id] = Queued(request.request_id, request.adapter, False)
        self._channel.send(m.Joined(request.request_id))

    def _stop(self, message: Stop, fds: list[int]) -> None:  # noqa: ARG002
        self._stopped = True


def _tokens(events: list[TokenEvent]) -> tuple[StepToken, ...]:
    return tuple(StepToken(each.request_id, each.token_id, each.finished) for each in events)


ROLE = Role("replica", __name__, m.REPLICA_SAYS, m.REPLICA_HEARS, main)

if __name__ == "__main__":
    process.main(ROLE)
