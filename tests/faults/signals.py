"""Kill processes of the platform, or stop them (SIGSTOP) without continuing them."""

from __future__ import annotations

import signal
from collections.abc import Callable

import numpy as np
import psutil

from .fault import Fault, Inflict, MissedError
from .stage import Stage

_FIND: dict[str, Callable[[Stage], list[psutil.Process]]] = {
    "instance": Stage.instances,
    "template": Stage.templates,
    "loader": Stage.loaders,
    "parser": Stage.parsers,
    "prewarmed process": Stage.prewarmed,
    "gateway": Stage.gateways,
    "node agent": Stage.agents,
}

INSTANCE = frozenset({"http_502", "error_event"})
STARTING = frozenset({"http_502", "http_503", "error_event"})
GATEWAY = frozenset({"cut", "refused"})
RESTARTS_S = 150.0
"""Recovery limit if libraries are imported again: that takes about ten seconds on a free core."""


def send(number: signal.Signals, role: str) -> Inflict:
    async def inflict(stage: Stage, random: np.random.Generator) -> None:
        found = _FIND[role](stage)
        if not found:
            raise MissedError(f"no {role}")
        process = found[int(random.integers(len(found)))]
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess as error:
            raise MissedError(f"the {role} had just ended") from error
        if number == signal.SIGSTOP:
            stage.stopped.append(process)

    return inflict


def faults() -> list[Fault]:
    """The platform ends a stopped process after some seconds without a heartbeat
    (``live/watch.py``), so requests that wait for it wait that long."""
    kill, stop = signal.SIGKILL, signal.SIGSTOP
    return [
        Fault("kill -9, an instance", send(kill, "instance"), INSTANCE, 60),
        Fault("SIGSTOP, an instance", send(stop, "instance"), INSTANCE, 60),
        Fault(
            "kill -9, an instance that starts",
            send(kill, "instance"),
            STARTING,
            RESTARTS_S,
            cold=True,
        ),
        Fault(
            "SIGSTOP, an instance that starts",
            send(stop, "instance"),
            STARTING,
            RESTARTS_S,
            cold=True,
        ),
        Fault("kill -9, the template", send(kill, "template"), STARTING, RESTARTS_S),
        Fault("SIGSTOP, the template", send(stop, "template"), STARTING, RESTARTS_S),
        Fault(
            "kill -9, a template that imports",
            send(kill, "template"),
            STARTING,
            RESTARTS_S,
            cold=True,
        ),
        Fault(
            "SIGSTOP, a template that imports",
            send(stop, "template"),
            STARTING,
            RESTARTS_S,
            cold=True,
        ),
        _of_a_loader("kill -9, the backbone's loader", kill),
        _of_a_loader("SIGSTOP, the backbone's loader", stop),
        Fault("kill -9, the gateway", send(kill, "gateway"), GATEWAY, RESTARTS_S, ends=True),
        Fault(
            "SIGSTOP, the gateway",
            send(stop, "gateway"),
            GATEWAY | {"timeout"},
            RESTARTS_S,
            ends=True,
            patience_s=15.0,
        ),
        Fault(
            "kill -9, the gateway as it starts functions",
            send(kill, "gateway"),
            GATEWAY,
            RESTARTS_S,
            cold=True,
            ends=True,
        ),
    ]


def faults_of_nodes() -> list[Fault]:
    """The gateway stops using a node whose agent is stopped. The process stays until the platform
    is stopped, like a machine that hangs."""
    kill, stop = signal.SIGKILL, signal.SIGSTOP
    return [
        Fault(
            f"{name}, a node agent",
            send(number, "node agent"),
            STARTING,
            RESTARTS_S,
            cluster=True,
        )
        for name, number in (("kill -9", kill), ("SIGSTOP", stop))
    ]


def _of_a_loader(name: str, number: signal.Signals) -> Fault:
    """Use few requests and no keep-alive, so that most requests load the backbone again."""
    inflict = send(number, "loader")
    return Fault(name, inflict, STARTING, RESTARTS_S, awaited_s=20.0, brief=True, rate_rps=1.5)
