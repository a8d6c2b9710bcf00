"""Messages that are one line of JSON each: what a process is told when it starts, and how its start
ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import msgspec

from systems.errors import DeploymentError, SystemsError
from systems.runtime.links.message import one_line
from systems.runtime.messages import Message, Name, Reason


class GatewayConfig(Message, frozen=True):
    """What a gateway serves. ``nodes_host``: on a cluster, where nodes connect to; else None."""

    policies: dict[str, str]
    deployment: dict[str, Any]
    """As ``Deployment`` dumps itself, which checks it."""
    journal: str
    nodes_host: str | None = None


class Compiling(Message, frozen=True):
    """The gateway compiles kernels and has finished another shape; its start goes on."""


class Preparing(Message, frozen=True):
    """A gateway still waits for ``what``, which the deployment asked for, or a node supervisor for
    nodes; the start goes on."""

    what: Reason


class Listening(Message, frozen=True):
    """The gateway answers on ``port``; ``nodes_port``: on a cluster, for nodes."""

    port: int
    nodes_port: int | None = None


class Orders(Message, frozen=True):
    """For a node supervisor: the cluster, the gateway's address for nodes, the secret of the run,
    a folder for Ray, and within how many seconds the first nodes must be in use. ``gpus``: GPUs of
    each node, which its agent takes from Ray."""

    cluster: Name
    gateway: Name
    port: int
    secret: Name
    folder: Name
    within_s: float
    gpus: int = 0


class NodesReady(Message, frozen=True):
    names: tuple[Name, ...]


class Joined(Message, frozen=True):
    """The gateway uses the agent ``name``."""

    name: Name


class StartFailed(Message, frozen=True):
    """``error`` is the name of a class of :mod:`systems.errors`."""

    reason: Reason
    error: str = DeploymentError.__name__

    def exception(self) -> SystemsError:
        """Give the error to raise; a ``DeploymentError`` if ``error`` names no class."""
        known = {each.__name__: each for each in _subclasses(SystemsError)}
        return known.get(self.error, DeploymentError)(self.reason)


def _subclasses(base: type[SystemsError]) -> Iterator[type[SystemsError]]:
    for each in base.__subclasses__():
        yield each
        yield from _subclasses(each)


def write(message: Message, out: IO[str]) -> None:
    print(msgspec.json.encode(message).decode(), file=out, flush=True)


def read(line: str, expected: Any, otherwise: str) -> Any:
    """Decode a line as one of the types in ``expected``. A :class:`StartFailed` with the reason
    ``otherwise`` if the line is empty or is none of them."""
    try:
        return msgspec.json.decode(line, type=expected)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return StartFailed(f"{otherwise}: {one_line(error)}" if line.strip() else otherwise)
