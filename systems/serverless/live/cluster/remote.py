"""A node at the other end of a link, with the same interface as a local node."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec
from msgspec.structs import replace as replace_fields

from systems.interface import Span
from systems.runtime.incoming import Incoming
from systems.runtime.links.link import Expected, Link
from systems.runtime.links.offset import ClockOffset
from systems.runtime.messages import Message as ProcessMessage

from ...core import actions as act
from ...core import events as ev
from ...core.artifacts import CopyKey
from ..messages import Cancelled, Decoded, Prefilled, Progress
from ..nodes import Provisioned
from . import action_messages as actions
from . import event_messages as events
from . import messages as msg
from .carried import Carried

_PROGRESS = Incoming(Progress)
_END_S = 4.0
"""Timeout for its processes to end: the node's own grace period and the round trip."""


class RemoteNode:
    """Calls ``post`` with the node's events as events of ``host``, and ``on_tokens`` with its
    instances' tokens. Converts all times to our clock. Accepts messages only about instances that
    the node was told to start and copies that it was told to load."""

    def __init__(
        self,
        host: str,
        link: Link,
        clock: ClockOffset,
        threads: int,
        post: Callable[[ev.Event], None],
        on_tokens: Callable[[int, Progress], None],
    ) -> None:
        self.host, self.threads, self.settled = host, threads, True
        kinds = (kind.carries for kind in actions.ACTIONS)
        self.do: Mapping[type, Callable[[Any], None]] = dict.fromkeys(kinds, self._forward)
        self.hears: Expected = {
            **dict.fromkeys(events.EVENTS, self._hear),
            msg.Tokens: self._hear_tokens,
        }
        """Handlers of events and tokens; ``ValueError`` for what does not belong to the node."""
        self._link, self._clock = link, clock
        self._post, self._on_tokens = post, on_tokens
        self._provisioned: dict[int, dict[str | None, Provisioned]] = {}
        """By instance: its own stages (None), and by function those with its adapter in place."""
        self._instances: set[int] = set()
        self._copies: set[CopyKey] = set()
        self._template = False

    def _forward(self, action: Any) -> None:
        if isinstance(action, act.StartInstance):
            self._instances.add(action.instance)
        elif isinstance(action, act.LoadBackbone | act.CopyBackbone):
            self._copies.add(action.copy)
        elif isinstance(action, act.StartTemplate):
            self._template = True
        self._link.send(actions.of(action))

    def send(self, instance: int, message: ProcessMessage) -> None:
        self._link.send(msg.Say(instance, msgspec.json.encode(message)))

    def provisioned(self, instance: int, function: str | None = None) -> Provisioned:
        known = self._provisioned.get(instance, {})
        return known.get(function, known.get(None, Provisioned()))

    def _hear_tokens(self, message: msg.Tokens) -> None:
        self.check_instance(message.instance)
        told = _PROGRESS.decode(message.said)
        self._on_tokens(message.instance, self._on_our_clock(told))

    def _hear(self, message: Carried) -> None:
        event = message.core()
        match message:
            case events.OfTheTemplate():
                self._check_template()
                event = replace(event, host=self.host)
            case events.AdapterTierResized():
                event = replace(event, host=self.host)
            case events.OfACopy():
                self.check_copy(message.copy)
            case events.OfAnInstance():
                self.check_instance(message.instance)
                self._note(message)
        self._post(event)

    def _note(self, message: events.OfAnInstance) -> None:
        if isinstance(message, events.AdapterLoaded):
            known = self._provisioned.setdefault(message.instance, {})
            known[message.function] = self._read(message)
        elif isinstance(message, events.Settled):
            self._provisioned[message.instance] = {None: self._read(message)}
        elif isinstance(message, events.Ended):
            self._provisioned.pop(message.instance, None)
            self._instances.discard(message.instance)

    def check_instance(self, instance: int) -> None:
        if instance not in self._instances:
            raise ValueError(f"instance {instance} is not an instance of {self.host}")

    def check_copy(self, copy: CopyKey) -> None:
        if copy not in self._copies:
            raise ValueError(f"{copy} is not a copy of {self.host}")

    def _check_template(self) -> None:
        if not self._template:
            raise ValueError(f"no template was requested of {self.host}")

    def _read(self, message: events.Settled) -> Provisioned:
        ours = self._clock.ours
        found = tuple(
            Span(span.stage, ours(span.start_ns), ours(span.end_ns)) for span in message.spans
        )
        return Provisioned(found, ours(message.up_ns) if message.up_ns else 0)

    def _on_our_clock(self, told: Any) -> Progress:
        ours = self._clock.ours
        match told:
            case Prefilled(start_ns=start_ns, t_ns=t_ns):
                return replace_fields(told, start_ns=ours(start_ns), t_ns=ours(t_ns))
            case Decoded(t_ns=t_ns):
                return replace_fields(told, t_ns=ours(t_ns))
        assert isinstance(told, Cancelled)
        return told

    async def close(self) -> None:
        """End every process of the node and close the link."""
        self._link.send(msg.Stop())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._link.closed.wait(), _END_S)
        self._link.close("the platform ended")
