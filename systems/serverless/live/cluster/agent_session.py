"""The connection of an agent to the gateway: it joins, serves as a node, and leaves."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from systems.interface import NodeMemoryStep, NodeSeen
from systems.runtime.links.link import MOST_OF_A_STRANGER, Expected, Link
from systems.runtime.links.message import Pong
from systems.runtime.links.offset import ClockOffset, Exchange, Questions, clock_id
from systems.runtime.links.tls import HANDSHAKE_S
from systems.runtime.processor import Metered

from ...core.cluster_spec import DeviceSpec
from ..weights.auditing import Audit, Sum
from . import messages as msg
from .remote import RemoteNode

if TYPE_CHECKING:
    from .registry import AgentRegistry

EVERY_S = 1.0
SILENT_ROUNDS = 10
"""Unanswered pings in a row after which a node counts as lost."""
_FIRST = 8
"""Pings before a node is used, so that even its first times can be corrected."""
_LOOK_S = 0.05


class Session:
    """The connection of a peer that has the run's key: it joins, serves as a node, and leaves."""

    def __init__(self, gate: AgentRegistry) -> None:
        first: Expected = {msg.AgentHello: self._introduced}
        self.link = Link(msg.FromAgent, first, self._closed, HANDSHAKE_S)
        self._gate = gate
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._questions = Questions(ClockOffset())
        self._first: Exchange | None = None
        self._ready: msg.Ready | None = None
        self._seen: NodeSeen | None = None
        self._node: RemoteNode | None = None
        self.name = ""

    # -- joining ----------------------------------------------------------------------------

    def _introduced(self, hello: msg.AgentHello) -> None:
        problem = self._unfit(hello)
        if problem:
            self.link.send(msg.Refused(f"{hello.name}: {problem}"))
            self._expect_nothing()
            return
        self.name = hello.name
        self._gate.guests[self.name] = self
        self._questions = Questions(ClockOffset(same=hello.clock == clock_id()))
        self.link.expect({msg.Ready: self._take, msg.Declined: self._declined})
        self.link.send(self._gate.offer)

    def _unfit(self, hello: msg.AgentHello) -> str:
        if hello.version != msg.VERSION:
            return f"has version {hello.version}, the gateway {msg.VERSION}; install the same"
        if hello.name in self._gate.guests:
            return "another node has that name; choose another"
        return "the platform is about to end" if self._gate.closing else ""

    def _declined(self, message: msg.Declined) -> None:
        self._gate.journal.problem(f"not used: {message.reason}")
        self._expect_nothing()

    def _expect_nothing(self) -> None:
        """Wait for the peer to close the link; close it after a timeout."""
        self.link.expect({}, most=MOST_OF_A_STRANGER, within_s=HANDSHAKE_S)

    # -- a node -----------------------------------------------------------------------------

    @property
    def _clock(self) -> ClockOffset:
        return self._questions.clock

    def _take(self, ready: msg.Ready) -> None:
        """Take a ready node: measure its clock offset, then use it."""
        if len({device.name for device in ready.devices}) < len(ready.devices):
            raise ValueError("two devices of one name")
        self._ready = ready
        self.link.expect(self._while_relating())
        self._ask()

    def _while_relating(self) -> Expected:
        return {Pong: self._pong, msg.IsolationGap: self._exposure, msg.Problem: self._problem}

    def _in_use(self, node: RemoteNode) -> Expected:
        return {
            **self._while_relating(),
            msg.Memory: self._memory,
            msg.Metered: self._metered,
            msg.Audited: self._audited,
            **node.hears,
        }

    def _ask(self) -> None:
        self.link.send(self._questions.ask(time.monotonic_ns()))

    def _pong(self, pong: Pong) -> None:
        self._questions.answered(pong, time.monotonic_ns())
        if self._node is None:
            if len(self._clock) < _FIRST:
                self._ask()
            else:
                self._use()

    def _use(self) -> None:
        gate, platform = self._gate, self._gate.platform
        assert self._ready is not None, "only a node that is ready is used"
        self._node = RemoteNode(
            self.name, self.link, self._clock, self._ready.threads, platform.post, platform.tokens
        )
        self.link.expect(self._in_use(self._node))
        devices = tuple(
            DeviceSpec(f"{self.name}/{device.name}", device.memory_bytes, device.slots, self.name)
            for device in self._ready.devices
        )
        self._first = self._clock.measured
        self._seen = self._now(tuple(device.id for device in devices), time.monotonic_ns())
        gate.journal.node(self._seen)
        self._timer = self._loop.call_later(EVERY_S, self._round)
        platform.join(self.name, self._node, devices)
        self._welcome()

    def _welcome(self) -> None:
        """Send the welcome once all that must exist before the first request exists."""
        if self._gate.platform.awaited(self.name):
            self._loop.call_later(_LOOK_S, self._welcome)
        else:
            self.link.send(msg.Welcome())

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
        if len(self._questions) >= SILENT_ROUNDS:
            self.link.close(f"silent for {EVERY_S * SILENT_ROUNDS:g} s")
            return
        self._timer = self._loop.call_later(EVERY_S, self._round)
        self._ask()

    def _memory(self, message: msg.Memory) -> None:
        t_ns = self._clock.ours(message.t_ns)
        step = NodeMemoryStep(t_ns, self.name, message.pss_bytes, message.uss_bytes)
        self._gate.journal.node_memory(step)

    def _exposure(self, message: msg.IsolationGap) -> None:
        self._gate.journal.isolation_gap(message.text)

    def _problem(self, message: msg.Problem) -> None:
        self._gate.journal.problem(f"{self.name}: {message.text}")

    def _metered(self, message: msg.Metered) -> None:
        self._used.check_instance(message.instance)
        ours = self._clock.ours
        seen = Metered(ours(message.start_ns), ours(message.end_ns), message.used_ns)
        self._gate.platform.metered(message.instance, seen)

    def _audited(self, message: msg.Audited) -> None:
        self._used.check_copy(message.copy)
        now = None if message.now is None else self._on_our_clock(message.now)
        last = self._on_our_clock(message.last)
        self._gate.account.take(Audit(message.copy, last, now, message.reason))

    @property
    def _used(self) -> RemoteNode:
        assert self._node is not None, "a node in use"
        return self._node

    def _on_our_clock(self, made: msg.Summed) -> Sum:
        ours = self._clock.ours
        return Sum(made.checksum, ours(made.start_ns), ours(made.end_ns))

    # -- leaving ----------------------------------------------------------------------------

    def keep(self, reason: str = "") -> None:
        """Write the node's state to the journal; ``reason`` if it was lost."""
        if self._seen is not None and self._seen.left_ns is None:
            self._seen = self._now(self._seen.devices, self._seen.joined_ns, reason)
            self._gate.journal.node(self._seen)

    def _closed(self, why: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._node is None:
            if self._gate.guests.get(self.name) is self:
                del self._gate.guests[self.name]
            self._gate.tell(f"{self.name or self.link.peer} was not used: {why}")
            return
        if not self._gate.closing:
            reason = f"node {self.name} was lost: {why}"
            self.keep(reason)
            self._gate.journal.problem(reason)
        self._gate.platform.leave(self.name, f"node {self.name} is gone: {why}")
