"""What the servers hold and use, written to the journal for the bill.

Card: what the driver reports, read at the end of every transition and every few seconds; where it
lists no process of any server, what the card's memory has grown by. From the beginning of a wake a
server holds what it held when it was last awake. Host: what the kernel counts of its processes
(PSS), and once it has slept at least its weights, since vLLM keeps the page-locked buffers after a
wake. Without a card, the device is host memory. A server is active while it has calls.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

from systems.errors import DeploymentError
from systems.interface import Activity, MemoryOwner, MemoryStep, ProcessorUse
from systems.runtime import processor
from systems.runtime.journal import Journal
from systems.runtime.process_memory import shares_of_all

from .card import Card
from .config import Config, OnDemandServer
from .meter import Meter
from .server import SleepingServer

_HOST = "host"


class Ledger:
    """``card``: the card that the device is; None if the device is host memory."""

    def __init__(self, config: Config, card: Card | None, journal: Journal) -> None:
        self._config, self._card, self._journal = config, card, journal
        self._device = config.device
        self._memory = _HOST if card else config.device
        """The device that the memory of processes counts on."""
        self._held: dict[tuple[str, str], int] = {}
        """By device and server."""
        self._awake: dict[str, int] = {}
        """What a server held on the card when it was last awake."""
        self._slept: set[str] = set()
        self._busy_since: dict[str, int] = {}
        self._pids: dict[str, frozenset[int]] = {}
        self._meters: dict[str, Meter] = {}

    def held(self, server: str) -> int:
        """Return the bytes that a server holds on the card."""
        return self._held.get((self._device, server), 0)

    def has_slept(self, server: str) -> bool:
        return server in self._slept

    # -- transitions ------------------------------------------------------------------------

    def runs(self, server: OnDemandServer, pids: frozenset[int]) -> None:
        self._pids[server.name] = pids

    def wakes(self, server: OnDemandServer) -> None:
        self._hold(self._device, server, self._awake.get(server.name, self.held(server.name)))

    def awake(self, *servers: OnDemandServer) -> None:
        """Handle that these have started together, or that one has been woken."""
        self.read(*servers)
        self._awake.update((each.name, self.held(each.name)) for each in servers)

    def asleep(self, server: OnDemandServer) -> None:
        self.read(server)
        self._slept.add(server.name)
        so_far = self._held.get((self._memory, server.name), 0)
        self._hold(self._memory, server, max(so_far, server.weights_bytes))

    def ended(self, server: OnDemandServer) -> None:
        for device in {self._device, self._memory}:
            self._hold(device, server, 0)
        self._slept.discard(server.name)
        self._pids.pop(server.name, None)
        self._meter(server.name).restart()

    def read(self, *servers: OnDemandServer) -> None:
        """Read what these servers hold on the card, if there is one. Of those that sleep, they are
        the ones that changed since the last reading."""
        if self._card is None:
            return
        try:
            if self._card.listed(frozenset().union(*self._pids.values())) is None:
                self._divide(servers, self._card.grown())
                return
            for each in servers:
                # A server that is not listed where others are has no context on the card yet.
                listed = self._card.listed(self._pids.get(each.name, frozenset()))
                self._hold(self._device, each, listed or 0)
        except DeploymentError as error:
            self._journal.problem(f"{', '.join(each.name for each in servers)}: {error}")

    def _divide(self, servers: Collection[OnDemandServer], grown: int) -> None:
        """Divide what all servers hold together. Of those that sleep, a difference is due to
        ``servers``, evenly; of others to all that run."""
        changed: Collection[OnDemandServer] = servers
        if not self._config.sleeps:
            changed = [each for each in self._config.servers if each.name in self._pids]
        others = [each for each in self._config.servers if each not in changed]
        left = max(0, grown - sum(self.held(each.name) for each in others))
        for each in changed:
            self._hold(self._device, each, left // len(changed))

    async def read_processes(self, server: SleepingServer) -> None:
        """Read the server's processes: which they are, their memory and processor time. On another
        thread, since the kernel walks their page tables."""
        plan, process = server.plan, server.process
        family = await server.family()
        found = await asyncio.to_thread(lambda: shares_of_all(each.pid for each in family))
        counted = found.pss if found else 0
        if process is None or server.process is not process or server.ended() is not None:
            return
        self.runs(plan, frozenset(each.pid for each in family))
        self._use(plan, process.pid)
        least = plan.weights_bytes if plan.name in self._slept else 0
        if max(counted, least):
            self._hold(self._memory, plan, max(counted, least))

    # -- work -------------------------------------------------------------------------------

    def busy(self, server: str, now_ns: int) -> None:
        self._busy_since.setdefault(server, now_ns)

    def idle(self, server: OnDemandServer, now_ns: int) -> None:
        since = self._busy_since.pop(server.name, None)
        if since is not None:
            self._journal.activity(
                Activity(since, now_ns, self._device, server.name, server.function_id)
            )

    def serving(self, server: SleepingServer) -> None:
        """Count processor time from here on; what it used before belongs to the deployment."""
        before_ns = processor.used_ns(server.process.pid) if server.process else None
        self._meters[server.plan.name] = Meter(time.monotonic_ns(), before_ns or 0)

    def _meter(self, server: str) -> Meter:
        return self._meters.setdefault(server, Meter(time.monotonic_ns(), 0))

    def _use(self, server: OnDemandServer, pid: int) -> None:
        used_ns, meter = processor.used_ns(pid), self._meter(server.name)
        if used_ns is not None:
            meter.read(used_ns)
            ids = (self._device, server.name, server.function_id)
            now_ns = time.monotonic_ns()
            self._journal.processor(ProcessorUse(meter.start_ns, now_ns, *ids, meter.total_ns))

    def _hold(self, device: str, server: OnDemandServer, size: int) -> None:
        if self._held.get((device, server.name)) != size:
            self._held[device, server.name] = size
            owner = MemoryOwner.HOST_TIER if device == _HOST else MemoryOwner.OTHER
            function, now_ns = server.function_id, time.monotonic_ns()
            alike = (each.name for each in self._config.servers if each.function_id == function)
            total = sum(self._held.get((device, name), 0) for name in alike)
            self._journal.memory(MemoryStep(now_ns, device, owner, function, total))
