"""The memory steps of a system trace, from what the controller's ledgers report."""

from __future__ import annotations

from collections.abc import Callable

from systems.interface import MemoryOwner, MemoryStep

from .core.memory import Holding


class MemoryTrace:
    """Sums the holdings of a group on a device, since one instance may be stopping while another
    starts. A decision only notes its changes: its actions do not wait for the steps to be made."""

    def __init__(self, now: Callable[[], int], keep: Callable[[MemoryStep], None]) -> None:
        self._now, self._keep = now, keep
        self._changes: list[tuple[int, str, Holding, int]] = []
        self._held: dict[tuple[str, MemoryOwner, str | None], int] = {}

    def note(self, device: str, holding: Holding, change: int) -> None:
        """Note that ``holding`` on ``device`` changed by ``change`` bytes."""
        self._changes.append((self._now(), device, holding, change))

    def write(self) -> None:
        """Keep a step for each change that was noted."""
        for at_ns, device, holding, change in self._changes:
            key = (device, holding.owner, holding.group)
            held = self._held.get(key, 0) + change
            if held:
                self._held[key] = held
            else:
                del self._held[key]
            self._keep(MemoryStep(at_ns, *key, held))
        self._changes.clear()
