"""A device whose processes take turns, with work that occupies it fully and work that does not.

A batch keeps its device busy while it has the turn. The start of an engine is a long series
of small launches: each waits for the turns of the others, but takes little of the device. Such work
is slowed down by more than the number of processes beside it, and slows them down by less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .clock import Callback, Clock, Job, Shared


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of work. ``share``: the part of the device that it takes while it has the turn;
    ``waits``: the factor by which it waits longer for the work beside it than a batch would."""

    share: float
    waits: float


BATCH = Kind(share=1.0, waits=1.0)


class Jobs(Shared):
    """The jobs of one kind on a device. ``load``: the sum of the shares of all jobs there."""

    __slots__ = ("_changes", "_load", "kind")

    def __init__(self, clock: Clock, kind: Kind, load: Callable[[], float]) -> None:
        super().__init__(clock, 1)
        self.kind, self._load = kind, load
        self._changes: Sequence[Jobs] = ()

    def beside(self, others: Sequence[Jobs]) -> None:
        """Name the other kinds on the device, whose speed depends on these jobs too."""
        self._changes = others

    @property
    def taken(self) -> float:
        return self._jobs * self.kind.share

    def start(self, work_ns: float, done: Callback) -> Job:
        self._settle_others()
        job = super().start(work_ns, done)
        self._wake_others()
        return job

    def cancel(self, job: Job) -> float:
        self._settle_others()
        left_ns = super().cancel(job)
        self._wake_others()
        return left_ns

    def _end(self) -> None:
        self._settle_others()
        super()._end()
        self._wake_others()

    def _settle_others(self) -> None:
        for other in self._changes:
            other._advance()

    def _wake_others(self) -> None:
        for other in self._changes:
            other._wait()

    def _speed(self) -> float:
        beside = self._load() - self.kind.share
        return 1 / (1 + self.kind.waits * max(beside, 0.0))


def take_turns(clock: Clock, kinds: Sequence[Kind]) -> list[Jobs]:
    """Return the jobs of each kind on one device."""
    device: list[Jobs] = []

    def load() -> float:
        return sum(jobs.taken for jobs in device)

    device += [Jobs(clock, kind, load) for kind in kinds]
    for jobs in device:
        jobs.beside([other for other in device if other is not jobs])
    return device
