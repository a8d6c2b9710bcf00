"""Prewarmed processes in virtual time, like those of ``live/prewarmed.py`` on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from systems.interface import Stage
from systems.runtime.stages import Timeline
from systems.simulation.clock import Clock
from systems.simulation.hardware import Hardware
from systems.simulation.profile import Profile, ProfileError

from ..core.artifacts import CopyKey
from ..core.warm_pool import WarmPool

_STAGES = (Stage.WARMING, Stage.BACKBONE, Stage.KERNELS)


@dataclass(slots=True, eq=False)
class PrewarmedProcess:
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


class PrewarmedProcesses:
    """Keeps ``count`` prewarmed processes per shared copy. Raises ``ProfileError`` if the profile
    does not say how long it takes to turn one into an instance."""

    def __init__(
        self, count: int, clock: Clock, profile: Profile, hardware: Mapping[str, Hardware]
    ) -> None:
        if count and profile.spare_s is None:
            raise ProfileError(
                f"profile {profile.name} has no spare_s, the time to turn a prewarmed process into"
                " an instance; omit the option prewarmed, or use a profile that has it"
            )
        self._count, self._clock, self._hardware = count, clock, hardware
        self._takes = (profile.fork_s, profile.map_s, profile.kernels_s)
        self._pool: WarmPool[PrewarmedProcess] = WarmPool(count, self._make, self._later)
        self.device_work = self._pool.device_work
        self.refill, self.take, self.drop = self._pool.refill, self._pool.take, self._pool.drop
        self.replace, self.replaced_ended = self._pool.replace, self._pool.replaced_ended

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        self._clock.at(self._clock.now + round(seconds * 1e9), then)

    def _make(self, key: CopyKey) -> PrewarmedProcess:
        prewarmed_process = PrewarmedProcess(key)
        self._go_on(prewarmed_process)
        return prewarmed_process

    def fill(self, key: CopyKey) -> None:
        """Add processes that were ready before the clock started."""
        self._pool.prewarmed += (
            PrewarmedProcess(key, done=len(_STAGES)) for _ in range(self._count)
        )

    def _go_on(self, prewarmed_process: PrewarmedProcess) -> None:
        prewarmed_process.timeline.begin(_STAGES[prewarmed_process.done], self._clock.now)
        there = self._hardware[prewarmed_process.copy.device]
        resource = (there.cores, there.link, there.compute)[prewarmed_process.done]  # of _STAGES
        resource.start(
            self._takes[prewarmed_process.done].value * 1e9, lambda: self._ended(prewarmed_process)
        )

    def _ended(self, prewarmed_process: PrewarmedProcess) -> None:
        prewarmed_process.timeline.end(_STAGES[prewarmed_process.done], self._clock.now)
        prewarmed_process.done += 1
        if not prewarmed_process.ready:
            self._go_on(prewarmed_process)
            return
        if prewarmed_process.then is not None:
            prewarmed_process.then()
        self._pool.became_ready(prewarmed_process)
