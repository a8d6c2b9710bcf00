"""Prewarmed processes in virtual time, like those of ``live/prewarmed.py`` on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from systems.interface import Stage
from systems.runtime.stages import Timeline
from systems.simulation.clock import Clock
from systems.simulation.draws import Draws
from systems.simulation.hardware import Hardware
from systems.simulation.number import value_of
from systems.simulation.preparer import Preparer
from systems.simulation.profile import Profile, ProfileError

from ..core.artifacts import CopyKey
from ..core.events import PrewarmedReady
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
    preparer: Preparer | None = None
    """Of its engine, once it is ready."""
    took_ns: int = 0
    """How long it took until it was ready."""

    def become(self, then: Callable[[], None]) -> None:
        """Take the process for an instance; call ``then`` when all stages are completed."""
        self.then = then
        if self.ready:
            then()

    @property
    def ready(self) -> bool:
        return self.done == len(_STAGES)


class PrewarmedProcesses:
    """Keeps ``count`` prewarmed processes per shared copy. ``build`` makes the engine of one;
    ``tell`` is called with how many are ready.
    Raises ``ProfileError`` if the profile does not say how long it takes to turn one into an
    instance."""

    def __init__(
        self,
        count: int,
        clock: Clock,
        profile: Profile,
        draws: Draws,
        hardware: Mapping[str, Hardware],
        build: Callable[[CopyKey], Preparer | None],
        tell: Callable[[PrewarmedReady], None],
    ) -> None:
        if count and profile.spare_s is None:
            raise ProfileError(
                f"profile {profile.name} has no spare_s, the time to turn a prewarmed process into"
                " an instance; omit the option prewarmed, or use a profile that has it"
            )
        self._count, self._clock, self._hardware, self._build = count, clock, hardware, build
        self._takes = (profile.fork_s, profile.map_s, profile.kernels_s)
        self._draws = draws
        self._pool: WarmPool[PrewarmedProcess] = WarmPool(count, self._make, self._later, tell)
        self.device_work = self._pool.device_work
        self.refill, self.take = self._pool.refill, self._pool.take
        self.replace, self.replaced_ended = self._pool.replace, self._pool.replaced_ended

    def drop(self, key: CopyKey) -> None:
        """End the processes of a copy that is dropped."""
        for prewarmed_process in self._pool.drop(key):
            if prewarmed_process.preparer is not None:
                prewarmed_process.preparer.end()

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        self._clock.at(self._clock.now + round(seconds * 1e9), then)

    def _make(self, key: CopyKey) -> PrewarmedProcess:
        prewarmed_process = PrewarmedProcess(key)
        self._go_on(prewarmed_process)
        return prewarmed_process

    def fill(self, key: CopyKey) -> None:
        """Add processes that were ready, their shapes too, before the clock started."""
        self._pool.fill(key, [self._deployed(key) for _ in range(self._count)])

    def _deployed(self, key: CopyKey) -> PrewarmedProcess:
        preparer = self._build(key)
        if preparer is not None:
            preparer.shapes.prepared(preparer.shapes.unprepared)
        took_ns = round(sum(value_of(number) for number in self._takes) * 1e9)
        return PrewarmedProcess(key, done=len(_STAGES), preparer=preparer, took_ns=took_ns)

    def _go_on(self, prewarmed_process: PrewarmedProcess) -> None:
        prewarmed_process.timeline.begin(_STAGES[prewarmed_process.done], self._clock.now)
        there = self._hardware[prewarmed_process.copy.device]
        resource = (there.cores, there.link, there.starts)[prewarmed_process.done]  # of _STAGES
        number, what = self._takes[prewarmed_process.done], _STAGES[prewarmed_process.done].value
        work_ns = self._draws.ns(number, what, f"prewarmed {prewarmed_process.copy.backbone}")
        resource.start(work_ns, lambda: self._ended(prewarmed_process))

    def _ended(self, prewarmed_process: PrewarmedProcess) -> None:
        prewarmed_process.timeline.end(_STAGES[prewarmed_process.done], self._clock.now)
        prewarmed_process.done += 1
        prewarmed_process.took_ns = self._clock.now - prewarmed_process.timeline.spans[0].start_ns
        if not prewarmed_process.ready:
            self._go_on(prewarmed_process)
            return
        prewarmed_process.preparer = self._build(prewarmed_process.copy)
        if prewarmed_process.then is not None:
            prewarmed_process.then()
        elif prewarmed_process.preparer is not None:
            prewarmed_process.preparer.idle()
        self._pool.became_ready(prewarmed_process)
