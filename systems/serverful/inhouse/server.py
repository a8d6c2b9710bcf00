"""A backbone's server: ``python -m systems.serverful.inhouse.server CONFIG``.

CONFIG is a JSON file: {scheme, deployment, backbone, options, first_device, port, journal}. Replica
r is on the device of number first_device + r, counted around. The server listens once every replica
is ready. It ends on SIGTERM, or when a replica ends.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from systems.errors import DeploymentError
from systems.interface import Decision, Deployment
from systems.runtime import channel as wire
from systems.runtime import process
from systems.runtime.cards import Cards
from systems.runtime.channel import AsyncChannel
from systems.runtime.http.api import Api
from systems.runtime.http.listening import listening
from systems.runtime.http.text import Text
from systems.runtime.journal import Journal
from systems.runtime.messages import Message
from systems.runtime.metrics import Metrics
from systems.runtime.packets import close_all

from ..ending import exit_status
from . import replica as replicas
from .backbone_deployment import make_deck
from .front import Front
from .messages import Configure, Ready, TableShape
from .options import Options
from .placement import Costs, Placement
from .schemes import PROFILED, SCHEMES, Scheme


class Server:
    """Starts the replica processes and the front, and stops them."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._scheme: Scheme = SCHEMES[config["scheme"]]
        self._options = Options.model_validate(config["options"])
        self._deck = make_deck(Deployment.model_validate(config["deployment"]), config["backbone"])
        self._cards = Cards.here(each.name for each in self._deck.deployment.devices)
        self._metrics = Metrics()
        self._journal = Journal(Path(config["journal"]), self._metrics)
        self._ready: asyncio.Queue[dict[str, float]] = asyncio.Queue()
        self._end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._front: Front
        self._processes: list[subprocess.Popen[bytes]] = []

    async def serve(self) -> None:
        """Serve until SIGTERM. Raise ``DeploymentError`` if a replica ends before that."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._ended, "")
        count = self._options.count
        batch = self._options.batch(self._deck.deployment, len(self._deck.functions) - 1)
        held = self._options.max_adapters or max(1, len(self._deck.adapters))
        placement = partial(Placement, self._deck.adapters, count, held, batch)
        # The initial placement of the adapters depends on no cost.
        first = placement(Costs(merged=1.0, load=0.0))
        channels = [self._start(replica, first.held(replica), batch) for replica in range(count)]
        timings = await self._all_ready(count)
        if timings:
            self._journal.decision(Decision(time.monotonic_ns(), PROFILED, timings))
        costs = self._scheme.costs(timings)
        self._front = Front(self._deck, placement(costs), self._journal)
        self._front.connect(channels)
        await self._answer()

    async def _answer(self) -> None:
        texts = {self._deck.backbone: Text(self._deck.deployment.backbones[self._deck.backbone])}
        app = Api(self._front, texts, metrics=self._metrics).application()
        try:
            async with listening(app, self._deck.deployment.host, self._config["port"]):
                process.leave_out_of_collections()
                migrating = asyncio.ensure_future(self._migrate())
                why = await self._end
                migrating.cancel()
                self._front.fail_all(why)
        finally:
            self.close()
        if why:
            raise DeploymentError(why)

    async def _migrate(self) -> None:
        while self._scheme.migrates and self._options.count > 1:
            await asyncio.sleep(self._options.migration_interval_s)
            self._front.rebalance()

    async def _all_ready(self, count: int) -> dict[str, float]:
        """Wait for all replicas. Return the largest of their measurements, by name."""
        found: dict[str, float] = {}
        for _ in range(count):
            ready = asyncio.ensure_future(self._ready.get())
            await asyncio.wait((ready, self._end), return_when=asyncio.FIRST_COMPLETED)
            if self._end.done():
                ready.cancel()
                self.close()
                raise DeploymentError(self._end.result() or "stopped before it was ready")
            for name, value in ready.result().items():
                found[name] = max(value, found.get(name, value))
        return found

    def _start(self, replica: int, held: tuple[str, ...], batch: int) -> AsyncChannel:
        ours, theirs = wire.pair()
        devices = self._deck.deployment.devices
        home = devices[(self._config["first_device"] + replica) % len(devices)]
        device = home.kind
        self._processes.append(
            subprocess.Popen(
                process.start_of(replicas.ROLE, theirs.fileno(), device),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=process.environment(self._cards.uuid(home.name)),
            )
        )
        theirs.close()
        channel = self._channel(ours, replica)
        deployed, limits = self._deck, self._deck.deployment.limits
        told = Configure(
            scheme=self._config["scheme"],
            device=device,
            model_dir=str(deployed.deployment.backbones[deployed.backbone]),
            layout=deployed.layout.to_json(),
            adapters={name: str(deployed.functions[name].adapter) for name in held},
            # Room for all adapters: a replica without an idle adapter exceeds its capacity.
            table=TableShape(
                deployed.rank, tuple(sorted(deployed.targets)), len(deployed.adapters)
            ),
            threads=self._options.replica_threads(),
            slots=batch,
            max_context_tokens=limits.max_context_tokens,
        )
        channel.send(told)
        return channel

    def _channel(self, ours: socket.socket, replica: int) -> AsyncChannel:
        def heard(message: Message, fds: list[int]) -> None:
            if isinstance(message, Ready):
                close_all(fds)
                self._ready.put_nowait(message.timings)
            else:
                self._front.heard(replica, message, fds)

        def closed(why: str) -> None:
            self._ended(f"replica {replica} ended" + (why and f": {why}"))

        return AsyncChannel(ours, replicas.ROLE.says, heard, closed)

    def _ended(self, why: str) -> None:
        if not self._end.done():
            self._end.set_result(why)

    def close(self) -> None:
        for each in self._processes:
            with suppress(ProcessLookupError):
                each.kill()
            each.wait()
        self._journal.close()


async def _serve(config: dict[str, Any]) -> None:
    await Server(config).serve()


def main() -> int:
    config = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    return exit_status(lambda: uvloop.run(_serve(config)))


if __name__ == "__main__":
    sys.exit(main())
