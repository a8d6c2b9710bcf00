"""A platform whose processes are puppets: real processes and sockets, but the test sends every
message. By default a puppet behaves like an honest process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from systems.interface import Deployment
from systems.runtime import channel as wire
from systems.runtime import processes
from systems.runtime.calls import Call, Failure, Tokens
from systems.runtime.cards import Cards
from systems.runtime.channel import Channel
from systems.runtime.children import Child
from systems.runtime.journal import Journal
from systems.runtime.messages import Sampling
from systems.runtime.roles import Role
from systems.serverless.core import events as ev
from systems.serverless.core.cluster_spec import HOST
from systems.serverless.core.policies import PolicySet
from systems.serverless.core.policies.batching import FirstComeFirstServed
from systems.serverless.core.policies.offloading import ValueDensity
from systems.serverless.core.policies.preloading import ByDensity, NoPreloading
from systems.serverless.core.policies.sharing import SharedPerDevice
from systems.serverless.live import node as node_module
from systems.serverless.live import roles
from systems.serverless.live.node import Node
from systems.serverless.live.nodes import Reports
from systems.serverless.live.plan import Plan, make_plan
from systems.serverless.live.platform import Platform

POLICIES = PolicySet(
    sharing=SharedPerDevice,
    preloading=NoPreloading,
    batching=FirstComeFirstServed,
    offloading=ValueDensity,
)
PATIENCE_S = 20.0
CARDS = ("GPU-0", "GPU-1", "GPU-2", "GPU-3")


@dataclass(eq=False)
class Puppet:
    """The process's end of a channel, which can send any message. It decodes what it receives as
    its role does. ``does``: the kinds of message that it carries out."""

    role: Role
    child: Child
    sock: socket.socket
    visible: str = ""
    """The GPUs that its process was started to see."""
    does: set[str] = field(
        default_factory=lambda: {"begin", "standby", "load", "hold", "offload", "ping", "stop"}
    )
    heard: list[dict[str, Any]] = field(default_factory=list)
    fds: int = 0
    """How many descriptors it was sent."""

    def __post_init__(self) -> None:
        self._channel = Channel(self.sock, self.role.hears)
        if self.role in (roles.INSTANCE, roles.TEMPLATE):
            self.says("started", t_ns=time.monotonic_ns())
        if self.role is roles.TEMPLATE:
            self.says("ready", t_ns=time.monotonic_ns())

    def says(self, kind: str, fds: Sequence[int] = (), **fields: Any) -> None:
        socket.send_fds(self.sock, [json.dumps({"kind": kind, **fields}).encode()], fds)

    def says_raw(self, data: bytes) -> None:
        self.sock.send(data)

    def dies(self) -> None:
        assert self.child.pid is not None
        os.kill(self.child.pid, signal.SIGKILL)

    def ends(self) -> None:
        """Kill the process: a puppet does not end with its gateway as real processes do."""
        assert self.child.popen is not None
        self.child.popen.kill()
        self.child.popen.wait()

    def obey(self) -> None:
        """Read all pending messages and carry them out."""
        with contextlib.suppress(OSError, EOFError):
            while (received := self._channel.receive(0)) is not None:
                message, fds = received
                self.fds += len(fds)
                for fd in fds:
                    os.close(fd)
                content = msgspec.to_builtins(message)
                self.heard.append(content)
                if content["kind"] in self.does:
                    self._do(content)

    def _do(self, message: dict[str, Any]) -> None:
        match message["kind"]:
            case "standby":
                self.says("started", t_ns=time.monotonic_ns())
            case "load" if self.role is roles.LOADER:
                on_card = message["device"] == "cuda"
                self.says("loaded", fds=[self.sock.fileno()] if on_card else ())
            case "begin":
                self.says("started", t_ns=time.monotonic_ns())
            case "load":
                self.says("loaded", artifact=message["artifact"])
            case "hold":
                self.says("held", function=message["function"])
            case "offload":
                self.says("offloaded")
            case "ping":
                self.says("pong")
            case "stop":
                self.dies()

    def asked(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.heard if message["kind"] == kind]

    def prefills(self, token: int = 7, finished: str | None = None) -> list[int]:
        """Send the first token of every request of the last batch; return these requests."""
        run = self.asked("run")[-1]
        tokens = [(request, token, finished) for request in run["requests"]]
        now = time.monotonic_ns()
        self.says(
            "prefilled", batch=run["batch"], start_ns=now, t_ns=now, computed_ns=0, tokens=tokens
        )
        return list(run["requests"])

    def decodes(self, *tokens: tuple[Any, Any, Any]) -> None:
        self.says("decoded", t_ns=time.monotonic_ns(), tokens=tokens)


@dataclass(eq=False)
class Stage:
    """The platform with its node, and all puppets in the order of their start."""

    platform: Platform
    node: Node
    puppets: list[Puppet]
    folder: Path
    """Where the file ``journal`` is."""

    def call(self, function: str, max_tokens: int = 8) -> Call:
        return self.platform.submit(
            client_id=function,
            function=function,
            prompt_ids=[5, 6, 7],
            max_tokens=max_tokens,
            sampling=Sampling(),
            received_ns=time.monotonic_ns(),
        )

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self.obey()
                await asyncio.sleep(0.002)

    async def all_heard(self) -> None:
        """Wait until the platform has read all messages of the puppets."""
        for _ in range(20):
            self.obey()
            await asyncio.sleep(0.002)

    def obey(self) -> None:
        for puppet in list(self.puppets):
            puppet.obey()

    async def up(self, function: str) -> tuple[Puppet, Call]:
        """A call to ``function``, and its instance, which was just told to run it."""
        call = self.call(function)
        await self.until(lambda: self._running(call))
        puppet = self.of(function)
        await self.until(lambda: puppet.asked("run"))
        return puppet, call

    async def idle(self, function: str) -> Puppet:
        """An idle instance of ``function`` that has completed a call."""
        puppet, _ = await self.up(function)
        puppet.prefills(finished="stop")
        await self.until(lambda: not self.platform.controller.state.requests)
        return puppet

    def _running(self, call: Call) -> bool:
        request = self.platform.controller.state.requests.get(call.id)
        return request is not None and request.instance is not None

    def of(self, function: str) -> Puppet:
        """The puppet of the last instance that serves ``function``."""
        instances = self.node.instances.values()
        group = self.platform.plan.cluster.group_of(function).id
        (child,) = [live.child for live in instances if live.group == group][-1:]
        return next(puppet for puppet in self.puppets if puppet.child is child)

    @property
    def loaders(self) -> list[Puppet]:
        return [puppet for puppet in self.puppets if puppet.role is roles.LOADER]

    def held(self) -> int:
        """Bytes in the memory ledgers of all devices."""
        return sum(d.memory.used for d in self.platform.controller.state.devices.values())


def said(call: Call) -> list[Tokens | Failure]:
    """The results that the caller has received so far."""
    return call.answers.drain()


@contextmanager
def _puppets(stub: Path, patch: pytest.MonkeyPatch, *, forking: bool) -> Iterator[list[Puppet]]:
    """Makes processes run ``stub`` and keeps the other ends of their channels."""
    ends: list[socket.socket] = []
    forks: list[Child] = []
    puppets: list[Puppet] = []
    honest = wire.pair

    def pair() -> tuple[socket.socket, socket.socket]:
        ours, theirs = honest()
        ends.append(theirs.dup())
        return ours, theirs

    class Puppets(processes.Processes):
        def spawn(self, role: Role, *rest: Any, **more: Any) -> Child:
            child = super().spawn(role, *rest, **more)
            puppets.append(Puppet(role, child, ends[-1], "".join(rest[2:])))
            return child

    class Forks(Puppets):
        """Spawns forks: a puppet template forks nothing."""

        def fork(self, *told: Any) -> Child:
            forks.append(self.spawn(*told))
            return forks[-1]

        @property
        def forked(self) -> list[Child]:
            return [child for child in forks if not child.ended]

    patch.setattr(wire, "pair", pair)
    patch.setattr(sys, "executable", str(stub))
    patch.setattr(node_module, "Processes", Forks if forking else Puppets)
    try:
        yield puppets
    finally:
        for puppet in puppets:
            puppet.ends()
        for end in ends:
            end.close()


def _cards(plan: Plan) -> Cards:
    names = plan.cluster.devices if plan.device == "cuda" else ()
    return Cards(dict(zip(names, CARDS, strict=False)))


def play(
    deployment: Deployment,
    folder: Path,
    scene: Callable[[Stage], Any],
    *,
    forks: bool = False,
    **options: Any,
) -> None:
    """Run ``scene``, a coroutine function, on a stage; end all processes after it. ``forks``: with
    a template, and instances that sleep after their keep-alive."""
    stub = folder / "stub"
    stub.write_text("#!/bin/sh\nexec sleep 600\n", encoding="ascii")
    stub.chmod(0o755)
    plan = make_plan(deployment.model_copy(update={"options": options}), forks=forks)
    policies = replace(POLICIES, preloading=ByDensity) if forks else POLICIES

    async def run() -> None:
        journal = Journal(folder / "journal")
        platform = Platform(plan, policies, journal)
        with pytest.MonkeyPatch.context() as patch, _puppets(stub, patch, forking=forks) as puppets:
            node = Node(
                plan,
                _cards(plan),
                Reports(
                    event=platform.post,
                    tokens=platform.tokens,
                    isolation_gap=journal.isolation_gap,
                    audit=print,
                    metered=platform.metered,
                    problem=journal.problem,
                ),
            )
            platform.join(HOST, node)
            platform.post(ev.Deployed())
            try:
                await scene(Stage(platform, node, puppets, folder))
            finally:
                await platform.close()
                journal.close()

    asyncio.run(run())
