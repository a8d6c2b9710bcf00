"""The agent of one machine: a node, told what to do over a link to the gateway.

    python -m systems.serverless.live.cluster.agent GATEWAY PORT NAME PARENT [CORES]

The secret of the run is in the environment. Once the gateway uses this node, or will not, one line
of JSON goes to standard output: ``{"joined": NAME}`` or ``{"error": …}``. Ends with its link, with
its parent, and when it has not heard of the gateway for a while; whatever it started ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Any

import uvloop

from systems.errors import SystemsError
from systems.interface import Deployment
from systems.runtime import process
from systems.runtime.channel import Message
from systems.runtime.links import secret
from systems.runtime.links.handshake import Knock
from systems.runtime.links.offset import clock_id
from systems.runtime.processor import Metered
from systems.runtime.sandbox import confine

from ...core import events as ev
from .. import kernel_cache
from ..machine import check_machine
from ..node import Node
from ..plan import Plan, make_plan
from ..weights.auditing import Audit
from . import codec, models
from .memory import EVERY_S, read_memory

SILENCE_S = 15.0
"""Without a word from the gateway, which asks for the time every second."""
VERSION = 2
"""Of what gateway and agents say to each other."""

_SETTLED = (ev.InstanceStarted, ev.ArtifactLoaded)
"""After these an instance may be able to run: what it went through is told along."""


class Agent:
    """``key`` is the secret of the run; ``ended`` is set once there is nothing more to do, with
    the reason in ``why``, empty where all went well."""

    def __init__(self, name: str, key: str) -> None:
        self.name, self.why = name, "it never came to be used"
        self.ended = asyncio.Event()
        self.node: Node | None = None
        about = {"name": name, "version": VERSION, "clock": clock_id()}
        self.link = Knock(key, about, self._hear, self._closed)
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._tasks: set[asyncio.Task[None]] = set()
        self._on: dict[str, Callable[[Message], None]] = {
            "deployment": self._deployment,
            "welcome": self._welcome,
            "ping": self._pong,
            "do": self._do,
            "say": self._say,
            "refused": self._refused,
            "stop": self._stop,
        }

    # -- being let in -----------------------------------------------------------------------

    def _hear(self, message: Message) -> None:
        self._heard = self._loop.time()
        self._on[message["kind"]](message)

    def _deployment(self, message: Message) -> None:
        self._spawn(self._prepare(message))

    async def _prepare(self, message: Message) -> None:
        """Look into every file here, make what a seed makes, and offer what this machine has."""
        try:
            plan = await asyncio.to_thread(_plan, message)
            await kernel_cache.fill(plan)
        except (SystemsError, OSError, ValueError) as error:
            reason = f"{self.name}: {error}"
            self.link.send("refuses", reason=reason)
            self._end(reason)
            return
        self.node = Node(
            plan,
            self._post,
            self._tokens,
            self._exposed,
            self._audited,
            self._metered,
            self._problem,
        )
        devices = [
            {"name": device.id, "memory_bytes": device.memory_bytes, "slots": device.slots}
            for device in plan.world.devices.values()
        ]
        self.link.send("ready", devices=devices, threads=plan.threads, pid=os.getpid())

    def _welcome(self, message: Message) -> None:  # noqa: ARG002
        self.why = ""
        print(json.dumps({"joined": self.name}), flush=True)
        self._spawn(self._tell_memory())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- being a node -----------------------------------------------------------------------

    def _do(self, message: Message) -> None:
        assert self.node is not None, "a node is told what to do once it is ready"
        action = codec.decode(message)
        self.node.do[type(action)](action)

    def _say(self, message: Message) -> None:
        assert self.node is not None, "a node is told what to do once it is ready"
        self.node.send(message["instance"], message["what"], **message["fields"])

    def _post(self, event: ev.Event) -> None:
        more: Message = {}
        if isinstance(event, _SETTLED) and self.node is not None:
            spans, up_ns = self.node.provisioned(event.instance)
            told = [(span.stage.value, span.start_ns, span.end_ns) for span in spans]
            more = {"spans": told, "up_ns": up_ns}
        self.link.send("event", **codec.encode(event), **more)

    def _tokens(self, instance: int, message: Message) -> None:
        self.link.send("tokens", instance=instance, message=message)

    def _exposed(self, text: str) -> None:
        self.link.send("exposure", text=text)

    def _metered(self, instance: int, seen: Metered) -> None:
        self.link.send("metered", instance=instance, **asdict(seen))

    def _problem(self, text: str) -> None:
        self.link.send("problem", text=text)

    def _audited(self, audit: Audit) -> None:
        self.link.send("audit", **codec.encode(audit))

    def _pong(self, message: Message) -> None:
        self.link.send("pong", asked_ns=message["asked_ns"], t_ns=time.monotonic_ns())

    async def _tell_memory(self) -> None:
        while True:
            found = await asyncio.to_thread(read_memory, os.getpid())
            self.link.send("memory", t_ns=time.monotonic_ns(), **found._asdict())
            await asyncio.sleep(EVERY_S)

    # -- the end ----------------------------------------------------------------------------

    def _refused(self, message: Message) -> None:
        self._end(message["reason"])

    def _stop(self, message: Message) -> None:  # noqa: ARG002
        self._end("")

    def _closed(self, why: str) -> None:
        """Once it was used, the gateway's end is the end of the run."""
        self._end(self.why and f"{self.name}: {why}")

    def _end(self, why: str) -> None:
        if not self.ended.is_set():
            self.why = why
            self.ended.set()

    async def until_the_end(self) -> None:
        """Serve until the link is gone, or silent."""
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


def _plan(message: Message) -> Plan:
    """Of the deployment as it is on this machine, once it is known to be the gateway's."""
    deployment = Deployment.model_validate(message["deployment"])
    plan = make_plan(models.here(deployment, Path(message["cache"])), forks=message["forks"])
    check_machine(plan.deployment)
    models.check_same(models.prints(plan), message["prints"])
    return plan


async def run(gateway: str, port: int, name: str, key: str) -> str:
    """An agent to its end; why it failed, or nothing."""
    agent = Agent(name, key)
    try:
        await asyncio.get_running_loop().create_connection(lambda: agent.link, gateway, port)
    except OSError as error:
        return f"{name}: the gateway at {gateway}:{port} does not answer: {error}"
    await agent.until_the_end()
    return agent.why


def main() -> int:
    gateway, port, name, parent = sys.argv[1:5]
    process.settle(int(parent))
    confine.hide_memory()
    if len(sys.argv) > 5:
        os.sched_setaffinity(0, map(int, sys.argv[5].split(",")))
    why = uvloop.run(run(gateway, int(port), name, secret.take()))
    if why:
        print(json.dumps({"error": why}), flush=True)
    return 1 if why else 0


if __name__ == "__main__":
    sys.exit(main())
