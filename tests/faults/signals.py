"""Processes of the platform killed, and stopped for good."""

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
    "gateway": Stage.gateways,
    "node agent": Stage.agents,
}

INSTANCE = frozenset({"http_502", "error_event"})
STARTING = frozenset({"http_502", "http_503", "error_event"})
GATEWAY = frozenset({"cut", "refused"})
RESTARTS_S = 150.0
"""With libraries to import again: about ten seconds of a processor of one's own."""


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
    """A process that is stopped is given up after some seconds of silence (``live/watch.py``), so
    that what waits for it waits for as long."""
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
    """A node that is stopped is given up by the gateway; its process stays, as a machine that
    hangs would, until the platform is taken down."""
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
    """Few requests and nothing kept alive, so that most of them load the backbone anew."""
    inflict = send(number, "loader")
    return Fault(name, inflict, STARTING, RESTARTS_S, awaited_s=20.0, brief=True, rate_rps=1.5)
