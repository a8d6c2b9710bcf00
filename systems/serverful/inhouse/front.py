"""The front of a backbone's replicas: accepts requests, places them, and returns their tokens."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from systems.interface import Decision
from systems.runtime.calls import Call, Failure, Tokens, request_trace
from systems.runtime.channel import AsyncChannel
from systems.runtime.incoming import BadMessageError
from systems.runtime.journal import Journal
from systems.runtime.messages import Cancel, Message, Request, RequestFields, StepToken
from systems.runtime.packets import close_all
from systems.runtime.times import Step

from .backbone_deployment import BackboneDeployment
from .messages import Drop, Hold, Join, Joined, Release, Released, Stepped, Switched
from .placement import Place, Placement


class Move(NamedTuple):
    """A request that migrates from the replica ``source`` to the replica ``target``."""

    source: int
    target: int


class Parcel(NamedTuple):
    """Descriptors that are being sent to the replica ``target``."""

    target: int
    fds: list[int]


class Front:
    """Serves the HTTP API's requests. Runs in the event loop, its only thread. ``channels`` connect
    to the replicas, in order of their numbers."""

    def __init__(self, plan: BackboneDeployment, placement: Placement, journal: Journal) -> None:
        self.plan = plan
        self._placement = placement
        self._journal = journal
        self._channels: Sequence[AsyncChannel] = ()
        self._calls: dict[int, Call] = {}
        self._moving: dict[int, Move] = {}
        self._parcels: dict[int, Parcel] = {}
        """Kept open until the target confirms: a channel may transmit a message after ``send``."""
        self._ids = itertools.count()
        self._loop = asyncio.get_running_loop()

    def connect(self, channels: Sequence[AsyncChannel]) -> None:
        self._channels = channels

    # -- callers ----------------------------------------------------------------------------

    def submit(self, **fields: Any) -> Call:
        """Accept a request. Its tokens, or a failure, arrive on ``call.answers``."""
        call = Call(next(self._ids), **fields)
        self._calls[call.id] = call
        limit_s = self.plan.deployment.limits.request_timeout_s
        call.deadline = self._loop.call_later(limit_s, self._time_out, call, limit_s)
        place = self._placement.admit(call.id, self._adapter(call))
        self._bring(place)
        self._send(call, place.replica)
        return call

    def abandon(self, call: Call) -> None:
        """Cancel a request that its client gave up. If it is migrating, it is released when its
        source has sent it."""
        if self._calls.pop(call.id, None) is None:
            return
        if call.id not in self._moving:
            replica = self._placement.replica_of(call.id)
            self._channels[replica].send(Cancel(call.id))
            self._placement.finished(call.id)

    def answered(self, call: Call, responded_ns: int | None) -> None:
        """Journal the request's trace. ``responded_ns``: when the last bytes of its response are
        written; None: they never reach the client."""
        if call.deadline is not None:
            call.deadline.cancel()
        self._journal.request(request_trace(call, responded_ns), call.tokens)

    def _time_out(self, call: Call, limit_s: float) -> None:
        call.answers.put(Failure(504, f"no answer within request_timeout_s={limit_s:g}"))

    def fail_all(self, reason: str) -> None:
        for call in self._calls.values():
            call.answers.put(Failure(503, reason))

    # -- replicas ---------------------------------------------------------------------------

    def _adapter(self, call: Call) -> str | None:
        return call.function if self.plan.functions[call.function].adapter else None

    def _bring(self, place: Place) -> None:
        """Send the adapter first: messages arrive in order, so it is loaded before its request."""
        channel = self._channels[place.replica]
        if place.evicted is not None:
            channel.send(Drop(place.evicted))
        if place.brought is not None:
            path = str(self.plan.functions[place.brought].adapter)
            channel.send(Hold(place.brought, path))

    def _send(self, call: Call, replica: int) -> None:
        call.instance = replica
        self._channels[replica].send(Request(self._fields(call)))

    def _fields(self, call: Call) -> RequestFields:
        return call.fields(self._adapter(call))

    def heard(self, replica: int, message: Message, fds: list[int]) -> None:
        """Handle a replica's message. Raise ``BadMessageError`` if it was not asked for."""
        if not isinstance(message, Released):
            close_all(fds)
        match message:
            case Stepped():
                step = Step.of(message.start_ns, message.t_ns, time.monotonic_ns())
                self._deliver(replica, message.tokens, step)
            case Released():
                self._parted(replica, message, fds)
            case Joined():
                self._joined(replica, message)
            case Switched():
                step = Step.of(message.start_ns, message.t_ns, time.monotonic_ns())
                self._switched(replica, message.merged, step)

    def _switched(self, replica: int, merged: str | None, step: Step) -> None:
        numbers = {"replica": replica, "merged": merged, "took_ns": step.took_ns}
        self._journal.decision(Decision(step.end_ns, "switch", numbers))

    def _deliver(self, replica: int, tokens: Sequence[StepToken], step: Step) -> None:
        for token in tokens:
            request = token.request
            call = self._calls.get(request)
            if call is None or call.instance != replica:
                continue
            if call.first_token_ns is None:
                call.batch_size = len(tokens)
            call.stepped(step)
            call.tokens += 1
            call.answers.put(Tokens((token.id,), token.finished))
            if token.finished:
                del self._calls[request]
                if request not in self._moving:
                    self._placement.finished(request)

    # -- migration --------------------------------------------------------------------------

    def rebalance(self) -> None:
        """Migrate requests where that pays off, with the adapters that they need."""
        if self._moving:
            return
        before = {id_: self._placement.replica_of(id_) for id_ in self._calls}
        started = frozenset(id_ for id_, call in self._calls.items() if call.first_token_ns)
        places = list(self._placement.rebalance(started))
        for place in places:
            self._moving[place.request] = Move(before[place.request], place.replica)
            self._channels[before[place.request]].send(Release(place.request))
            numbers = {"source": before[place.request], "target": place.replica}
            self._journal.decision(Decision(time.monotonic_ns(), "migrate", numbers))
        for place in places:  # only after all requests have left, so no dropped adapter is in use
            self._bring(place)

    def _parted(self, replica: int, message: Released, fds: list[int]) -> None:
        """Send the request to its target, unless it has ended or its client gave up."""
        request = message.request
        move = self._moving.get(request)
        if move is None or move.source != replica or len(fds) != (message.state is not None):
            close_all(fds)
            raise BadMessageError(f"released: request {request} does not match a release")
        del self._moving[request]
        call = self._calls.get(request)
        if call is None or not message.there:
            self._placement.finished(request)
        elif message.state is None:
            self._send(call, move.target)
        else:
            call.instance = move.target
            self._parcels[request] = Parcel(move.target, fds)
            joins = Join(self._fields(call), message.state)
            self._channels[move.target].send(joins, fds)
            return
        close_all(fds)

    def _joined(self, replica: int, message: Joined) -> None:
        parcel = self._parcels.get(message.request)
        if parcel is None or parcel.target != replica:
            raise BadMessageError(f"joined: request {message.request} was not sent to it")
        del self._parcels[message.request]
        close_all(parcel.fds)
