"""The cores of a node, which share caches and memory."""

from __future__ import annotations

from .clock import Clock, Shared


class Cores(Shared):
    """Processor sharing over ``number`` cores. Each other core at work slows a job down by the
    fraction ``beside`` of its time alone."""

    __slots__ = ("_beside",)

    def __init__(self, clock: Clock, number: float, beside: float) -> None:
        super().__init__(clock, number)
        self._beside = beside

    def _speed(self) -> float:
        others = max(min(self._jobs, self._slots) - 1, 0)
        return super()._speed() / (1 + self._beside * others)
