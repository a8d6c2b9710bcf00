"""The interface of a node to the platform, for this machine and for remote ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from systems.interface import Span
from systems.runtime.messages import Message
from systems.runtime.processor import Metered

from ..core import events as ev
from .messages import Progress
from .weights.auditing import Audit


@dataclass(frozen=True, slots=True)
class Reports:
    """What a node calls with each event, with an instance's id and its tokens, with each isolation
    gap, with each audit of a shared copy, with the id of an instance and its processor time so far,
    and with each failure that no client sees."""

    event: Callable[[ev.Event], None]
    tokens: Callable[[int, Progress], None]
    isolation_gap: Callable[[str], None]
    audit: Callable[[Audit], None]
    metered: Callable[[int, Metered], None]
    problem: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DeviceWork:
    """Tells a node, as actions do, whether instances run requests on a device. While they do, no
    process of the device prepares shapes for later requests."""

    device: str
    busy: bool


class Provisioned(NamedTuple):
    """All stages before an instance could run, also those started for others, on the gateway's
    clock; ``up_ns`` is when its process came up, 0 if it is not up."""

    spans: tuple[Span, ...] = ()
    up_ns: int = 0


class AnyNode(Protocol):
    """Carries out actions on one machine. It reports results through callbacks of its creator."""

    @property
    def do(self) -> Mapping[type, Callable[[Any], None]]:
        """Handlers by type of action; each returns at once."""

    @property
    def threads(self) -> int | None:
        """CPU threads of an instance on this node; None: the number in the deployment."""

    @property
    def settled(self) -> bool:
        """Whether no warm pool of this node is being filled. Remote nodes wait for that before they
        join."""

    def send(self, instance: int, message: Message) -> None:
        """Send a message to an instance; drop it if the instance has ended."""

    def provisioned(self, instance: int, function: str | None = None) -> Provisioned:
        """Return the stages of ``instance`` that a request of ``function`` may have waited for."""

    async def close(self) -> None:
        """End every process of the node."""
