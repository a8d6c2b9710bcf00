"""Memory of slots on demand without a device: what has none holds NaN."""

from __future__ import annotations

from systems.engine.cuda.engine import CudaEngine
from systems.engine.cuda.slab import SlabCache

_NAN = 0xFF
"""Each byte of a NaN, whatever the dtype."""


class OnDemand:
    """Takes the place of ``BackedSlots``. An operation that reads a slot without memory spoils its
    result, and :meth:`untouched` tells whether one wrote to it."""

    def __init__(self, slab: SlabCache) -> None:
        self.held = len(slab._used)
        self._slots = slab._flat[: self.held]
        self.give_back(0)

    def hold(self, slots: int) -> None:
        assert slots <= len(self._slots)
        self.held = max(slots, self.held)

    def give_back(self, slots: int) -> None:
        self.held = slots
        self._slots[slots:] = _NAN

    def untouched(self) -> bool:
        return bool((self._slots[self.held :] == _NAN).all())


def on_demand(engine: CudaEngine) -> CudaEngine:
    engine._slab._memory = OnDemand(engine._slab)  # type: ignore[assignment]
    return engine
