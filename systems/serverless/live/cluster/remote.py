"""A node on the other end of a link, with the face of one that is here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from systems.interface import Span, Stage
from systems.runtime import said
from systems.runtime.channel import Message
from systems.runtime.links.link import Link
from systems.runtime.links.offset import ClockOffset

from ...core import actions as act
from ...core import events as ev
from ...core.artifacts import CopyKey
from ..nodes import Provisioned
from . import codec

_END_S = 4.0
"""Until its processes have ended: what a node allows them, and the way there and back."""


class RemoteNode:
    """``post`` takes the events of the node as events of ``host``; ``on_tokens`` the tokens of its
    instances. Times are on our clock once they are here. A node speaks for the instances that it
    was told to start and the copies that it was told to load, and for no others."""

    def __init__(
        self,
        host: str,
        link: Link,
        clock: ClockOffset,
        threads: int,
        post: Callable[[ev.Event], None],
        on_tokens: Callable[[int, Message], None],
    ) -> None:
        self.host, self.threads = host, threads
        self.do: Mapping[type, Callable[[Any], None]] = dict.fromkeys(codec.ACTIONS, self._forward)
        self._link, self._clock = link, clock
        self._post, self._on_tokens = post, on_tokens
        self._provisioned: dict[int, Provisioned] = {}
        self._instances: set[int] = set()
        self._copies: set[CopyKey] = set()

    def _forward(self, action: Any) -> None:
        if isinstance(action, act.StartInstance):
            self._instances.add(action.instance)
        elif isinstance(action, act.LoadBackbone):
            self._copies.add(action.copy)
        self._link.send("do", **codec.encode(action))

    def send(self, instance: int, kind: str, **fields: Any) -> None:
        self._link.send("say", instance=instance, what=kind, fields=fields)

    def provisioned(self, instance: int) -> Provisioned:
        return self._provisioned.get(instance, Provisioned())

    def hear(self, message: Message) -> None:
        """An event or tokens of what is there; ``ValueError`` for anything else."""
        if message["kind"] == "tokens":
            self._check_ours(message["instance"])
            said.INSTANCE.check(message["message"])
            self._on_tokens(message["instance"], self._on_our_clock(message["message"]))
            return
        event = codec.decode(message)
        if not isinstance(event, codec.EVENTS):
            raise ValueError(f"{message['type']} is no event of a node")
        if isinstance(event, codec.OF_INSTANCES):
            self._check_ours(event.instance)
        elif isinstance(event, codec.OF_COPIES) and event.copy not in self._copies:
            raise ValueError(f"{event.copy} is no copy of {self.host}")
        if isinstance(event, ev.TemplateReady | ev.TemplateDied):
            event = replace(event, host=self.host)
        if "spans" in message:
            self._provisioned[event.instance] = self._read(message["spans"], message["up_ns"])
        elif isinstance(event, ev.ProcessDied | ev.InstanceStopped):
            self._provisioned.pop(event.instance, None)
            self._instances.discard(event.instance)
        self._post(event)

    def _check_ours(self, instance: Any) -> None:
        if instance not in self._instances:
            raise ValueError(f"instance {instance} is none of {self.host}")

    def _read(self, spans: list[Any], up_ns: int) -> Provisioned:
        ours = self._clock.ours
        found = tuple(Span(Stage(stage), ours(start), ours(end)) for stage, start, end in spans)
        return Provisioned(found, ours(up_ns) if up_ns else 0)

    def _on_our_clock(self, told: Message) -> Message:
        times = [name for name in ("t_ns", "start_ns") if told.get(name) is not None]
        return {**told, **{name: self._clock.ours(told[name]) for name in times}}

    async def close(self) -> None:
        """End every process there and hang up."""
        self._link.send("stop")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._link.closed.wait(), _END_S)
        self._link.close("the platform ended")
