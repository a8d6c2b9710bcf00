"""The node supervisor: keeps, through Ray, one agent running on every machine of a cluster. It also
starts agents on machines that join later, and restarts agents that died.

    python -m systems.serverless.live.cluster.supervisor

It reads its orders as one line of JSON from standard input and ends at end of file. It prints a
``NodesReady`` when every initial node is in use, or a ``StartFailed``; before, a ``Preparing``
every few seconds. Its agents end with it, and so does Ray if it was started here: the supervisor
leads a session with all of them.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import IO, Any

import msgspec

from systems.errors import DeploymentError
from systems.runtime.links.address import ClusterAddress
from systems.runtime.links.rays import connect

from ..start_messages import Joined, NodesReady, Orders, Preparing, StartFailed, read, write
from .actor import NodeAgent
from .session import end_session

EVERY_S = 0.5
_TELL_S = 10.0
"""Between two lines that say which nodes are waited for."""
_BACKOFF_S = (1.0, 60.0)
"""First and longest pause between an agent's end and its restart."""


@dataclass(frozen=True, slots=True)
class AgentSlot:
    """A place for one agent: a machine by Ray's id and, if it runs several agents, the cores of
    this one."""

    key: str
    node_id: str
    cores: tuple[int, ...] = ()


@dataclass(slots=True)
class AgentHandle:
    """An agent in its slot, from its start to its end."""

    name: str
    actor: Any
    started: Any
    ended: Any
    joined: bool = False


@dataclass(slots=True)
class NodeSupervisor:
    """``ray`` is the connected module."""

    ray: Any
    address: ClusterAddress
    orders: Orders
    tenures: dict[str, AgentHandle] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    not_before: dict[str, float] = field(default_factory=dict)
    ready: bool = False
    began_s: float = field(default_factory=time.monotonic)
    told_s: float = -_TELL_S
    names: Any = field(default_factory=lambda: map("node-{}".format, itertools.count()))

    def round(self) -> NodesReady | StartFailed | Preparing | None:
        """Start missing agents and check the others; return the message to print, or None."""
        places = {place.key: place for place in self._places()}
        for key, place in places.items():
            if key not in self.tenures and time.monotonic() >= self.not_before.get(key, 0.0):
                self.tenures[key] = self._start(place)
        if not places and not self.ready:
            gpus = self.orders.gpus * (self.address.local or 1)
            return StartFailed(f"cluster: no machine has the {gpus} GPUs of its nodes, as Ray sees")
        errors = [error for key in list(self.tenures) if (error := self._look(key))]
        if self.ready:
            return None
        if errors:
            return StartFailed(errors[0])
        if self.tenures and all(tenure.joined for tenure in self.tenures.values()):
            self.ready = True
            return NodesReady(tuple(tenure.name for tenure in self.tenures.values()))
        return self._waiting(time.monotonic() - self.began_s)

    def _waiting(self, waited_s: float) -> StartFailed | Preparing | None:
        """Say which nodes are missing: as an error once that took too long, else now and then."""
        names = ", ".join(each.name for each in self.tenures.values() if not each.joined)
        if waited_s >= self.orders.within_s:
            return StartFailed(
                f"cluster {self.orders.cluster}: not in use within {self.orders.within_s:g} s:"
                f" {names}; a node checks or makes its models, compiles kernels and fills its warm"
                " pools first: raise the option nodes_timeout_s if that takes longer"
            )
        if waited_s - self.told_s < _TELL_S:
            return None
        self.told_s = waited_s
        return Preparing(names)

    def _places(self) -> list[AgentSlot]:
        alive = [node for node in self.ray.nodes() if node["Alive"]]
        gpus = self.orders.gpus * (self.address.local or 1)
        alive = [node for node in alive if node["Resources"].get("GPU", 0) >= gpus]
        if self.address.local and alive:
            count = self.address.local
            return [
                AgentSlot(str(index), alive[0]["NodeID"], cores)
                for index, cores in zip(range(count), _dealt_cores(count), strict=True)
            ]
        return [
            AgentSlot(node["NodeID"], node["NodeID"])
            for node in alive
            if node["Resources"].get("CPU", 0) >= 1
        ]

    def _start(self, place: AgentSlot) -> AgentHandle:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        strategy = NodeAffinitySchedulingStrategy(place.node_id, soft=False)
        # Ray shows an actor the GPUs that it takes, so two agents of a machine share none.
        takes = {"num_cpus": 0, "num_gpus": self.orders.gpus}
        actor = self.ray.remote(NodeAgent).options(**takes, scheduling_strategy=strategy).remote()
        name = next(self.names)
        orders = self.orders
        started = actor.start.remote(orders.gateway, orders.port, name, orders.secret, place.cores)
        return AgentHandle(name, actor, started, actor.wait.remote())

    def _look(self, key: str) -> str | None:
        """Check the agent in a slot; return its error if it has ended."""
        tenure, error = self.tenures[key], None
        if not tenure.joined and self._over(tenure.started):
            outcome = self._outcome(tenure.started, tenure.name)
            error = outcome.reason if isinstance(outcome, StartFailed) else None
            tenure.joined = error is None
        if error is None and not self._over(tenure.ended):
            self.failures.pop(key, None) if tenure.joined and self.ready else None
            return None
        self.ray.kill(tenure.actor)
        del self.tenures[key]
        least, most = _BACKOFF_S
        tries = self.failures[key] = self.failures.get(key, 0) + 1
        self.not_before[key] = time.monotonic() + min(most, least * 2 ** (tries - 1))
        return error or f"{tenure.name}: its agent ended"

    def _over(self, reference: Any) -> bool:
        return bool(self.ray.wait([reference], timeout=0)[0])

    def _outcome(self, reference: Any, name: str) -> Joined | StartFailed:
        try:
            line: str = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            last = str(error).strip().splitlines()[-1]
            return StartFailed(f"{name}: its agent could not be started: {last}")
        found: Joined | StartFailed = read(
            line, Joined | StartFailed, f"{name}: its agent ended at once"
        )
        return found


def _dealt_cores(count: int) -> list[tuple[int, ...]]:
    """Divide this machine's cores among ``count`` nodes; with too few, every node gets all."""
    ours = sorted(os.sched_getaffinity(0))
    if len(ours) < count:
        return [()] * count
    return [tuple(ours[index::count]) for index in range(count)]


def serve(orders: Orders, out: IO[str], end: threading.Event) -> None:
    """Supervise until ``end`` is set."""
    address = ClusterAddress.parse(orders.cluster)
    try:
        ray = connect(address, orders.folder)
    except DeploymentError as error:
        write(StartFailed(str(error)), out)
        return
    supervisor = NodeSupervisor(ray, address, orders)
    try:
        while not end.wait(EVERY_S):
            told = supervisor.round()
            if told is not None:
                write(told, out)
    finally:
        ray.shutdown()


def _read_to_the_end(end: threading.Event) -> None:
    while sys.stdin.readline():
        pass
    end.set()


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Ray's output goes to standard error, and its processes hold no pipe of ours.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    orders = msgspec.json.decode(sys.stdin.readline(), type=Orders)
    end = threading.Event()
    threading.Thread(target=_read_to_the_end, args=(end,), daemon=True).start()
    try:
        serve(orders, out, end)
    finally:
        shutil.rmtree(orders.folder, ignore_errors=True)
        end_session(os.getpid())
    return 0


if __name__ == "__main__":
    sys.exit(main())
