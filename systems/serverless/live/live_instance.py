"""The node's state of one instance."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from systems.runtime.children import Child
from systems.runtime.messages import Message
from systems.runtime.stages import Timeline

from ..core.artifacts import Artifact, CopyKey
from .metering import Meter


@dataclass(slots=True, eq=False)
class LiveInstance:
    """An instance: its process, and the stages of its provisioning."""

    id: int
    group: str
    device: str
    copy: CopyKey | None = None
    child: Child | None = None
    timeline: Timeline = field(default_factory=Timeline.empty)
    meter: Meter | None = None
    """Of its processor time, from when it was first told to load an artifact of its function."""
    adapters: dict[str, Timeline] = field(default_factory=dict)
    """By function: the stages of the adapters that it holds in places or waits for."""
    prewarmed: bool = False
    """Whether its process has had its engine since it was prewarmed."""
    giving_back: frozenset[Artifact] = frozenset()
    stopping: bool = False
    offloading: asyncio.TimerHandle | None = None
    """Timeout for releasing the offloaded artifacts."""
    reason: str = ""

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send a message to its process; drop it if there is none."""
        if self.child is not None:
            self.child.channel.send(message, fds)

    def offloaded(self) -> None:
        """Cancel the timeout for releasing artifacts."""
        if self.offloading is not None:
            self.offloading.cancel()
            self.offloading = None
