"""A device whose processes take turns, with work that occupies it fully and work that does not.

A batch keeps its device busy while it has the turn. The start of an engine is a long series
of small launches: each waits for the turns of the others, but takes little of the device. Such work
is slowed down by more than the number of processes beside it, and slows them down by less.

A decode step of many requests also works on the host, and while it does so the others of its kind
have the device: beside them, that part of it takes no time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify

from .clock import Callback, Clock, Job, Shared


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of work. ``share``: the part of the device that it takes while it has the turn;
    ``waits``: the factor by which it waits longer for the work beside it than a batch would."""

    share: float
    waits: float


BATCH = Kind(share=1.0, waits=1.0)


class Jobs(Shared):
    """The jobs of one kind on a device."""

    __slots__ = ("_beside", "_device", "_hiding", "_share", "_waits")

    def __init__(self, clock: Clock, kind: Kind) -> None:
        super().__init__(clock, 1)
        self._share, self._waits = kind.share, kind.waits
        self._hiding = False
        """Whether there was a job of which a part is hidden beside others."""
        self._device: Sequence[Jobs] = ()
        self._beside: Sequence[Jobs] = ()

    def share(self, device: Sequence[Jobs]) -> None:
        """Name all kinds on the device, whose speeds depend on the jobs of each other."""
        self._device = device
        self._beside = [other for other in device if other is not self]

    def start(self, work_ns: float, done: Callback, hidden: float = 0.0) -> Job:
        self._settle_others()
        self._hiding = self._hiding or hidden > 0.0
        job = super().start(work_ns, done, hidden)
        self._wake_others()
        return job

    def cancel(self, job: Job) -> float:
        self._settle_others()
        left_ns = super().cancel(job)
        self._wake_others()
        return left_ns / (1 - job.hidden) if job.hides else left_ns

    def _end(self) -> None:
        self._settle_others()
        super()._end()
        self._wake_others()

    def _settle_others(self) -> None:
        for other in self._beside:
            if other._jobs:
                other._advance()

    def _wake_others(self) -> None:
        for other in self._beside:
            if other._jobs:
                other._wait()

    def _count(self, change: int) -> None:
        before = self._jobs
        self._jobs += change
        if self._hiding and (change > 0 or self._jobs == 1 < before):
            self._hide()
        load = 0.0
        for jobs in self._device:
            load += jobs._jobs * jobs._share
        for jobs in self._device:
            if jobs._jobs:
                beside = load - jobs._share
                jobs._rate = 1 / (1 + jobs._waits * beside) if beside > 0.0 else 1.0

    def _hide(self) -> None:
        """Take the hidden part off the ends of jobs that are beside others now, and put it back on
        that of the only one that is left."""
        beside, now = self._jobs > 1, self._virtual
        left = [each for each in self._heap if not each[2].ended]
        for _, _, job in left:
            if job.hides is not beside:
                part = 1 - job.hidden
                job.end = now + (job.end - now) * (part if beside else 1 / part)
                job.hides = beside
        self._heap[:] = [(job.end, turn, job) for _, turn, job in left]
        heapify(self._heap)


def take_turns(clock: Clock, kinds: Sequence[Kind]) -> list[Jobs]:
    """Return the jobs of each kind on one device."""
    device = [Jobs(clock, kind) for kind in kinds]
    for jobs in device:
        jobs.share(device)
    return device
