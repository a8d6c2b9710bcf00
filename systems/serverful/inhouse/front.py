"""The front of a backbone's replicas: takes requests in, places them, hands their tokens out."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Any

from systems.interface import Decision
from systems.runtime.calls import Call, Failure, Tokens, evidence_of
from systems.runtime.channel import AsyncChannel, Message, close_all
from systems.runtime.journal import Journal
from systems.runtime.times import Step

from .deck import Deck
from .placement import Place, Placement


class Front:
    """What the HTTP surface asks. Lives in the event loop, which is its only thread.
    ``plan`` is what is deployed; ``channels`` lead to the replicas, in their order."""

    def __init__(self, plan: Deck, placement: Placement, journal: Journal) -> None:
        self.plan = plan
        self._placement = placement
        self._journal = journal
        self._channels: Sequence[AsyncChannel] = ()
        self._calls: dict[int, Call] = {}
        self._moving: dict[int, int] = {}
        self._parcels: dict[int, list[int]] = {}
        """Descriptors on their way: a message may leave later than it is sent."""
        self._ids = itertools.count()
        self._loop = asyncio.get_running_loop()

    def connect(self, channels: Sequence[AsyncChannel]) -> None:
        self._channels = channels

    # -- callers ----------------------------------------------------------------------------

    def submit(self, **fields: Any) -> Call:
        """Take a request in; its answers come on ``call.answers`` until one is the last."""
        call = Call(next(self._ids), **fields)
        self._calls[call.id] = call
        limit_s = self.plan.deployment.limits.request_timeout_s
        call.deadline = self._loop.call_later(limit_s, self._time_out, call, limit_s)
        place = self._placement.admit(call.id, self._adapter(call))
        self._bring(place)
        self._send(call, place.replica)
        return call

    def abandon(self, call: Call) -> None:
        """Nobody waits for it any more. One on its way is let go of when it has parted."""
        if self._calls.pop(call.id, None) is None:
            return
        if call.id not in self._moving:
            replica = self._placement.replica_of(call.id)
            self._channels[replica].send("cancel", request=call.id)
            self._placement.finished(call.id)

    def answered(self, call: Call, responded_ns: int | None) -> None:
        """The answer's last bytes go out now (None: it never gets there); keep the evidence."""
        if call.deadline is not None:
            call.deadline.cancel()
        self._journal.request(evidence_of(call, responded_ns))

    def _time_out(self, call: Call, limit_s: float) -> None:
        call.answers.put_nowait(Failure(504, f"no answer within request_timeout_s={limit_s:g}"))

    def fail_all(self, reason: str) -> None:
        for call in self._calls.values():
            call.answers.put_nowait(Failure(503, reason))

    # -- replicas ---------------------------------------------------------------------------

    def _adapter(self, call: Call) -> str | None:
        return call.function if self.plan.functions[call.function].adapter else None

    def _bring(self, place: Place) -> None:
        """Messages arrive in order: the adapter is there when its request is."""
        channel = self._channels[place.replica]
        if place.evicted is not None:
            channel.send("drop", adapter=place.evicted)
        if place.brought is not None:
            path = str(self.plan.functions[place.brought].adapter)
            channel.send("hold", adapter=place.brought, path=path)

    def _send(self, call: Call, replica: int) -> None:
        call.instance = replica
        self._channels[replica].send("request", request=self._fields(call))

    def _fields(self, call: Call) -> Message:
        return {
            "request_id": call.id,
            "prompt_ids": call.prompt_ids,
            "max_tokens": call.max_tokens,
            "adapter": self._adapter(call),
            **call.sampling,
        }

    def heard(self, replica: int, message: Message, fds: list[int]) -> None:
        """What a replica says."""
        if message["kind"] == "stepped":
            step = Step.of(message, time.monotonic_ns())
            self._deliver(replica, message["tokens"], step)
        elif message["kind"] == "parted":
            self._parted(message, fds)
        elif message["kind"] == "joined":
            close_all(self._parcels.pop(message["request"]))
        elif message["kind"] == "switched":
            self._switched(replica, message["merged"], Step.of(message, time.monotonic_ns()))

    def _switched(self, replica: int, merged: str | None, step: Step) -> None:
        numbers = {"replica": replica, "merged": merged, "took_ns": step.took_ns}
        self._journal.decision(Decision(step.end_ns, "switch", numbers))

    def _deliver(
        self, replica: int, tokens: Sequence[tuple[int, int, str | None]], step: Step
    ) -> None:
        for request, token, finished in tokens:
            call = self._calls.get(request)
            if call is None or call.instance != replica:
                continue
            if call.first_token_ns is None:
                call.batch_size = len(tokens)
            call.stepped(step)
            call.answers.put_nowait(Tokens((token,), finished))
            if finished:
                del self._calls[request]
                if request not in self._moving:
                    self._placement.finished(request)

    # -- migration --------------------------------------------------------------------------

    def rebalance(self) -> None:
        """Move what should be elsewhere, with the adapters it needs."""
        if self._moving:
            return
        before = {id_: self._placement.replica_of(id_) for id_ in self._calls}
        started = frozenset(id_ for id_, call in self._calls.items() if call.first_token_ns)
        places = list(self._placement.rebalance(started))
        for place in places:
            self._moving[place.request] = place.replica
            self._channels[before[place.request]].send("part", request=place.request)
            numbers = {"source": before[place.request], "target": place.replica}
            self._journal.decision(Decision(time.monotonic_ns(), "migrate", numbers))
        for place in places:  # after all have left: none of an adapter's own runs as it is dropped
            self._bring(place)

    def _parted(self, message: Message, fds: list[int]) -> None:
        """Send it on, unless it has ended or nobody waits for it any more."""
        request = message["request"]
        target = self._moving.pop(request)
        call = self._calls.get(request)
        if call is None or not message["there"]:
            self._placement.finished(request)
        elif message["state"] is None:
            self._send(call, target)
        else:
            call.instance = target
            self._parcels[request] = fds
            channel, fields = self._channels[target], self._fields(call)
            channel.send("join", fds, request=fields, state=message["state"])
            return
        close_all(fds)
