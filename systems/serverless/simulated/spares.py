"""Prewarmed processes in virtual time, like those of ``live/spares.py`` on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from systems.interface import Stage
from systems.runtime.stages import Timeline
from systems.simulation.clock import Clock
from systems.simulation.hardware import Hardware
from systems.simulation.profile import Profile, ProfileError

from ..core.artifacts import CopyKey
from ..core.spares import SparePool

_STAGES = (Stage.WARMING, Stage.BACKBONE, Stage.KERNELS)


@dataclass(slots=True, eq=False)
class Spare:
    """A prewarmed process. ``done``: completed stages. ``timeline``: of the process; an instance
    that takes it continues this timeline."""

    copy: CopyKey
    timeline: Timeline = field(default_factory=Timeline.empty)
    done: int = 0
    then: Callable[[], None] | None = None

    def become(self, then: Callable[[], None]) -> None:
        """Take the process for an instance; call ``then`` when all stages are completed."""
        self.then = then
        if self.ready:
            then()

    @property
    def ready(self) -> bool:
        return self.done == len(_STAGES)


class Spares:
    """Keeps ``count`` prewarmed processes per shared copy. Raises ``ProfileError`` if the profile
    does not say how long it takes to turn one into an instance."""

    def __init__(
        self, count: int, clock: Clock, profile: Profile, hardware: Mapping[str, Hardware]
    ) -> None:
        if count and profile.spare_s is None:
            raise ProfileError(
                f"profile {profile.name} has no spare_s, the time to turn a spare into an"
                " instance; omit the option spares, or use a profile that has it"
            )
        self._clock, self._hardware = clock, hardware
        self._takes = (profile.fork_s, profile.map_s, profile.kernels_s)
        self._pool: SparePool[Spare] = SparePool(count, self._make)
        self.refill, self.take, self.drop = self._pool.refill, self._pool.take, self._pool.drop

    def _make(self, key: CopyKey) -> Spare:
        spare = Spare(key)
        self._go_on(spare)
        return spare

    def _go_on(self, spare: Spare) -> None:
        spare.timeline.begin(_STAGES[spare.done], self._clock.now)
        there = self._hardware[spare.copy.device]
        resource = (there.cores, there.link, there.compute)[spare.done]  # of _STAGES
        resource.start(self._takes[spare.done].value * 1e9, lambda: self._ended(spare))

    def _ended(self, spare: Spare) -> None:
        spare.timeline.end(_STAGES[spare.done], self._clock.now)
        spare.done += 1
        if not spare.ready:
            self._go_on(spare)
            return
        if spare.then is not None:
            spare.then()
        self._pool.became_ready(spare)
