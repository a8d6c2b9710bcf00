"""Where agents come to be let in, on the gateway's side: one guest a connection."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from systems.interface import NodeMemoryStep, NodeSeen
from systems.models import cache_root
from systems.runtime.channel import Message
from systems.runtime.journal import Journal
from systems.runtime.links.handshake import Door
from systems.runtime.links.offset import ClockOffset, Exchange, clock_id
from systems.runtime.processor import Metered

from ...core.state import TemplatePhase
from ...core.world import DeviceSpec
from ..plan import Plan
from ..platform import Platform
from ..weights.auditing import Account, Audit, Sum
from . import codec, models
from .agent import VERSION
from .remote import RemoteNode

EVERY_S = 1.0
SILENT_ROUNDS = 10
"""Questions in a row that got no answer, after which a node is lost."""
_FIRST = 8
"""Exchanges before a node is used: its times are corrected from the first on."""
_LOOK_S = 0.05
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Offer:
    """What every node of a run is told: the deployment, and what makes its models the same."""

    deployment: Any
    forks: bool
    prints: models.Prints

    @classmethod
    def of(cls, plan: Plan, *, forks: bool) -> Offer:
        """Of the gateway's own plan. A node is told nothing that it does not need."""
        return cls(
            plan.deployment.model_dump(mode="json", include=_NEEDED), forks, models.prints(plan)
        )

    def as_message(self) -> Message:
        return {
            "deployment": self.deployment,
            "forks": self.forks,
            "prints": self.prints,
            "cache": str(cache_root()),
        }


_NEEDED = {"functions", "backbones", "devices", "limits", "dtype", "options"}


class Gate:
    """Listens for agents that know ``key``, and tells ``platform`` who is there."""

    def __init__(
        self, platform: Platform, journal: Journal, account: Account, offer: Offer, key: str
    ) -> None:
        self.platform, self.offer, self.key = platform, offer, key
        self.journal, self.account = journal, account
        self.guests: dict[str, Guest] = {}
        """By name; of one that is lost what was seen of it."""
        self.closing = False
        self._server: asyncio.Server | None = None

    async def open(self, host: str) -> int:
        """Listen on ``host``; the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Guest(self).link, host, 0)
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Take nobody more in, and keep what was seen of those who are there."""
        self.closing = True
        if self._server is not None:
            self._server.close()
        for guest in self.guests.values():
            guest.keep()


class Guest:
    """A connection from its first byte: a stranger, then a node, then gone."""

    def __init__(self, gate: Gate) -> None:
        self.link = Door(gate.key, self._known, self._hear, self._closed)
        self._gate = gate
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._clock = ClockOffset()
        self._first: Exchange | None = None
        self._unanswered = 0
        self._ready: Message = {}
        self._seen: NodeSeen | None = None
        self._node: RemoteNode | None = None
        self.name = ""
        self._on: dict[str, Callable[[Message], None]] = {}

    # -- being let in -----------------------------------------------------------------------

    def _hear(self, message: Message) -> None:
        self._on[message["kind"]](message)

    def _known(self, message: Message) -> None:
        self.name = str(message["name"])
        problem = self._unfit(message)
        if problem:
            self.link.send("refused", reason=f"{self.name}: {problem}")
            return
        self._gate.guests[self.name] = self
        self._clock = ClockOffset(same=message["clock"] == clock_id())
        self._on = {"ready": self._take, "refuses": self._refused}
        self.link.send("deployment", **self._gate.offer.as_message())

    def _unfit(self, message: Message) -> str:
        if message["version"] != VERSION:
            return f"speaks version {message['version']}, the gateway {VERSION}; install the same"
        if not _NAME.fullmatch(self.name) or self.name in self._gate.guests:
            return "another node has that name, or it is none; choose another"
        return "the platform is about to end" if self._gate.closing else ""

    def _refused(self, message: Message) -> None:
        self._gate.journal.problem(f"not used: {message['reason']}")

    # -- a node -----------------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        """It is ready: relate the clocks, then use it."""
        self._ready = message
        self._on = {
            "pong": self._pong,
            "memory": self._memory,
            "exposure": self._exposure,
            "problem": self._problem,
            "metered": self._metered,
            "audit": self._audit,
        }
        self._ask()

    def _ask(self) -> None:
        self._unanswered += 1
        self.link.send("ping", asked_ns=time.monotonic_ns())

    def _pong(self, message: Message) -> None:
        self._clock.heard(message["asked_ns"], message["t_ns"], time.monotonic_ns())
        self._unanswered = 0
        if self._node is None:
            if len(self._clock) < _FIRST:
                self._ask()
            else:
                self._use()

    def _use(self) -> None:
        gate, platform = self._gate, self._gate.platform
        threads = int(self._ready["threads"])
        self._node = RemoteNode(
            self.name, self.link, self._clock, threads, platform.post, platform.tokens
        )
        self._on |= {"event": self._node.hear, "tokens": self._node.hear}
        devices = tuple(
            DeviceSpec(f"{self.name}/{d['name']}", d["memory_bytes"], d["slots"], self.name)
            for d in self._ready["devices"]
        )
        self._first = self._clock.measured
        self._seen = self._now(tuple(device.id for device in devices), time.monotonic_ns())
        gate.journal.node(self._seen)
        self._timer = self._loop.call_later(EVERY_S, self._round)
        platform.join(self.name, self._node, devices)
        self._welcome()

    def _welcome(self) -> None:
        """Once what is to be there before the first call is there."""
        platform = self._gate.platform
        host = platform.controller.state.hosts.get(self.name)
        early = platform.plan.options.template_at_deployment
        if early and host is not None and host.template is TemplatePhase.STARTING:
            self._loop.call_later(_LOOK_S, self._welcome)
        else:
            self.link.send("welcome")

    def _now(self, devices: tuple[str, ...], joined_ns: int, reason: str = "") -> NodeSeen:
        measured, first = self._clock.measured, self._first or self._clock.measured
        return NodeSeen(
            host=self.name,
            address=self.link.peer,
            devices=devices,
            joined_ns=joined_ns,
            left_ns=time.monotonic_ns() if reason else None,
            reason=reason,
            same_clock=self._clock.same,
            offset_ns=measured.offset_ns,
            error_ns=measured.error_ns,
            first_offset_ns=first.offset_ns,
        )

    def _round(self) -> None:
        if self._unanswered >= SILENT_ROUNDS:
            self.link.close(f"silent for {EVERY_S * SILENT_ROUNDS:g} s")
            return
        self._timer = self._loop.call_later(EVERY_S, self._round)
        self._ask()

    def _memory(self, message: Message) -> None:
        t_ns = self._clock.ours(message["t_ns"])
        step = NodeMemoryStep(t_ns, self.name, message["pss_bytes"], message["uss_bytes"])
        self._gate.journal.node_memory(step)

    def _exposure(self, message: Message) -> None:
        self._gate.journal.exposure(message["text"])

    def _problem(self, message: Message) -> None:
        self._gate.journal.problem(f"{self.name}: {message['text']}")

    def _metered(self, message: Message) -> None:
        ours = self._clock.ours
        seen = Metered(ours(message["start_ns"]), ours(message["end_ns"]), message["used_ns"])
        self._gate.platform.metered(message["instance"], seen)

    def _audit(self, message: Message) -> None:
        audit = codec.decode(message)
        if not isinstance(audit, Audit):
            raise ValueError(f"{message['type']} is no audit")
        now = audit.now and self._on_our_clock(audit.now)
        self._gate.account.take(replace(audit, last=self._on_our_clock(audit.last), now=now))

    def _on_our_clock(self, made: Sum) -> Sum:
        ours = self._clock.ours
        return replace(made, start_ns=ours(made.start_ns), end_ns=ours(made.end_ns))

    # -- gone -------------------------------------------------------------------------------

    def keep(self, reason: str = "") -> None:
        """Write what is known of it."""
        if self._seen is not None and self._seen.left_ns is None:
            self._seen = self._now(self._seen.devices, self._seen.joined_ns, reason)
            self._gate.journal.node(self._seen)

    def _closed(self, why: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._node is None:
            if self._gate.guests.get(self.name) is self:
                del self._gate.guests[self.name]
            return
        if not self._gate.closing:
            reason = f"node {self.name} was lost: {why}"
            self.keep(reason)
            self._gate.journal.problem(reason)
        self._gate.platform.leave(self.name, f"node {self.name} is gone: {why}")
