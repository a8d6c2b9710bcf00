"""The node's state of one instance."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
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
    """Whether its process was prewarmed and has put none of its artifacts away since."""
    giving_back: frozenset[Artifact] = frozenset()
    stopping: bool = False
    offloading: asyncio.TimerHandle | None = None
    """Timeout for releasing the offloaded artifacts."""
    loading: tuple[Artifact, asyncio.TimerHandle] | None = None
    """The artifact that it loads within a time limit, and its timeout."""
    reason: str = ""

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send a message to its process; drop it if there is none."""
        if self.child is not None:
            self.child.channel.send(message, fds)

    def loads(self, artifact: Artifact, limit_s: float, then: Callable[[], None]) -> None:
        """Call ``then`` unless ``artifact`` is loaded within ``limit_s``."""
        self.loaded()
        self.loading = artifact, asyncio.get_running_loop().call_later(limit_s, then)

    def loaded(self, artifact: Artifact | None = None) -> None:
        """Cancel the timeout for loading ``artifact``; None: for loading any."""
        if self.loading is not None and artifact in (None, self.loading[0]):
            self.loading[1].cancel()
            self.loading = None

    def offloaded(self) -> None:
        """Cancel the timeout for releasing artifacts."""
        if self.offloading is not None:
            self.offloading.cancel()
            self.offloading = None
