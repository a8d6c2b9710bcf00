"""What the platform asks of a machine, be it this one or another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from systems.interface import Span
from systems.runtime.messages import Message


class Provisioned(NamedTuple):
    """All that had to happen before an instance could run, whoever asked for it, on the gateway's
    clock; ``up_ns``: since when its process is up, 0 where it is not."""

    spans: tuple[Span, ...] = ()
    up_ns: int = 0


class AnyNode(Protocol):
    """Carries actions out on one machine. What it sees of them goes to whoever made it."""

    @property
    def do(self) -> Mapping[type, Callable[[Any], None]]:
        """By type of action: takes it and returns at once."""

    @property
    def threads(self) -> int | None:
        """CPU threads of an instance there; None: as the deployment says."""

    def send(self, instance: int, message: Message) -> None:
        """A message to an instance; lost with it where it is gone."""

    def provisioned(self, instance: int) -> Provisioned: ...

    async def close(self) -> None:
        """End every process there."""
