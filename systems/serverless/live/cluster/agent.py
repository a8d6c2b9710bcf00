"""The agent of one machine: runs a node that the gateway controls over a link.

    python -m systems.serverless.live.cluster.agent GATEWAY PORT NAME PARENT [CORES]

The secret of the run is in the environment. Once the gateway accepts or refuses this node, the
agent prints one line of JSON: ``Joined`` or ``StartFailed``. It ends when its link
closes, when its parent ends, and after ``SILENCE_S`` without a message from the gateway; all
processes that it started end with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import uvloop

from systems.errors import SystemsError
from systems.runtime import process
from systems.runtime.cards import Cards
from systems.runtime.links import secret
from systems.runtime.links.connecting import StrangerError, connect
from systems.runtime.links.link import Expected, Link
from systems.runtime.links.message import Ping, Pong
from systems.runtime.links.offset import clock_id
from systems.runtime.process_memory import shares_of_all
from systems.runtime.process_tree import tree
from systems.runtime.sandbox import measures

from .. import kernel_cache
from ..machine import check_machine
from ..messages import INSTANCE_HEARS
from ..node import Node
from ..plan import Plan, make_plan
from ..start_messages import Joined, StartFailed, write
from . import action_messages as actions
from . import messages as msg
from . import models
from .carried import Carried
from .reporting import Reporter

_LOOK_S = 0.05
_MEMORY_S = 4.0
"""Between readings of this machine's memory: each walks all page tables of the tree."""
SILENCE_S = 15.0
"""Timeout without a message from the gateway, which sends a ping every second."""


class Agent:
    """``ended`` is set at the end; ``why`` is the reason then, empty for a normal end."""

    def __init__(self, name: str) -> None:
        self.name, self.why = name, "the gateway did not use it"
        self.ended = asyncio.Event()
        self.node: Node | None = None
        self.link = Link(msg.FromGateway, self._at_first(), self._closed)
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._tasks: set[asyncio.Task[None]] = set()

    # -- joining ----------------------------------------------------------------------------

    def introduce(self) -> None:
        """Send the hello, once the gateway has proved that it has the key of the run."""
        self.link.expect(self._at_first())
        self.link.send(msg.AgentHello(msg.VERSION, self.name, clock_id()))

    def _at_first(self) -> Expected:
        return {msg.Offer: self._take_offer, **self._always()}

    def _always(self) -> Expected:
        return {msg.Refused: self._refused, msg.Stop: self._stop}

    def _as_a_node(self) -> Expected:
        return {
            Ping: self._pong,
            msg.Welcome: self._welcome,
            msg.Say: self._say,
            **dict.fromkeys(actions.ACTIONS, self._carry_out),
            **self._always(),
        }

    def _take_offer(self, offer: msg.Offer) -> None:
        self.link.expect(self._always())
        self._spawn(self._prepare(offer))

    async def _prepare(self, offer: msg.Offer) -> None:
        """Check all model files, make those that come from a seed, and offer the devices."""
        try:
            plan = await asyncio.to_thread(_plan, offer)
            await kernel_cache.fill(plan)
        except (SystemsError, OSError, ValueError) as error:
            reason = f"{self.name}: {error}"
            self.link.send(msg.Declined(reason))
            self._end(reason)
            return
        reporter = Reporter(self.link)
        self.node = reporter.node = Node(plan, Cards.here(plan.cluster.devices), reporter.reports())
        devices = tuple(
            msg.OfferedDevice(device.id, device.memory_bytes, device.slots)
            for device in plan.cluster.devices.values()
        )
        self._heard = self._loop.time()
        self.link.expect(self._as_a_node())
        self.link.send(msg.Ready(devices, plan.threads))

    def _welcome(self, message: msg.Welcome) -> None:  # noqa: ARG002
        self.why = ""
        self._spawn(self._tell_memory())
        self._spawn(self._join())

    async def _join(self) -> None:
        """Say that the node has joined, once its warm pools are filled."""
        assert self.node is not None, "only a node is welcome"
        while not self.node.settled:
            await asyncio.sleep(_LOOK_S)
        write(Joined(self.name), sys.stdout)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- serving as a node ------------------------------------------------------------------

    def _carry_out(self, message: Carried) -> None:
        assert self.node is not None, "a node is told what to do once it is ready"
        try:
            self.node.do[message.carries](message.core())
        except KeyError as error:
            raise ValueError(f"{type(message).__name__} of {error}, which is not here") from error

    def _say(self, message: msg.Say) -> None:
        assert self.node is not None, "a node is told what to do once it is ready"
        self.node.send(message.instance, INSTANCE_HEARS.decode(message.said))

    def _pong(self, ping: Ping) -> None:
        self._heard = self._loop.time()
        self.link.send(Pong(ping.asked_ns, time.monotonic_ns()))

    async def _tell_memory(self) -> None:
        while True:
            found = await asyncio.to_thread(lambda: shares_of_all(tree(os.getpid())))
            pss_bytes, uss_bytes = found or (None, None)
            self.link.send(msg.Memory(time.monotonic_ns(), pss_bytes, uss_bytes))
            await asyncio.sleep(_MEMORY_S)

    # -- the end ----------------------------------------------------------------------------

    def _refused(self, message: msg.Refused) -> None:
        self._end(message.reason)

    def _stop(self, message: msg.Stop) -> None:  # noqa: ARG002
        self._end("")

    def _closed(self, why: str) -> None:
        """End. If the gateway used this node, a closed link is the normal end of the run."""
        self._end(self.why and f"{self.name}: {why}")

    def _end(self, why: str) -> None:
        if not self.ended.is_set():
            self.why = why
            self.ended.set()

    async def until_the_end(self) -> None:
        """Serve until the link is closed or silent."""
        while not self.ended.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), SILENCE_S / 3)
            if self._loop.time() - self._heard > SILENCE_S and self.node is not None:
                self._end(f"silent for {SILENCE_S:g} s")
        for task in self._tasks:
            task.cancel()
        if self.node is not None:
            await self.node.close()
        await self.link.finish()


def _plan(offer: msg.Offer) -> Plan:
    """Make the plan for this machine, and check that its models are the same as the gateway's."""
    plan = make_plan(models.here(offer.deployment, Path(offer.cache)), forks=offer.forks)
    check_machine(plan.deployment)
    models.check_same(models.prints(plan), offer.prints)
    return plan


async def run(gateway: str, port: int, name: str, key: str) -> str:
    """Run an agent to its end; return its error, or "". ``key`` is the secret of the run."""
    agent = Agent(name)
    try:
        await connect(agent.link, gateway, port, key)
    except StrangerError as error:
        return f"{name}: the gateway at {gateway}:{port} cannot be used: {error}"
    except OSError as error:
        return f"{name}: the gateway at {gateway}:{port} does not answer: {error}"
    agent.introduce()
    await agent.until_the_end()
    return agent.why


def main() -> int:
    gateway, port, name, parent = sys.argv[1:5]
    process.settle(int(parent))
    measures.hide_memory()
    if len(sys.argv) > 5:
        os.sched_setaffinity(0, map(int, sys.argv[5].split(",")))
    why = uvloop.run(run(gateway, int(port), name, secret.take()))
    if why:
        write(StartFailed(why), sys.stdout)
    return 1 if why else 0


if __name__ == "__main__":
    sys.exit(main())
