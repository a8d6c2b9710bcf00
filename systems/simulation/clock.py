"""Virtual time: an event heap, and resources shared by the jobs that run on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from heapq import heappop, heappush

Callback = Callable[[], None]


class Clock:
    """Runs callbacks in order of time, from ``now``; callbacks of equal time in the order they were
    set."""

    __slots__ = ("_heap", "_turn", "now")

    def __init__(self, now: int = 0) -> None:
        self.now = now
        self._heap: list[tuple[int, int, Callback]] = []
        self._turn = 0

    def at(self, time_ns: int, callback: Callback) -> None:
        """Run ``callback`` at ``time_ns``, or at the current time if that has passed."""
        self._turn = turn = self._turn + 1
        heappush(self._heap, (time_ns if time_ns > self.now else self.now, turn, callback))

    def run_until(self, time_ns: int) -> None:
        """Run every callback due before ``time_ns``, then set the clock to ``time_ns``."""
        heap = self._heap
        while heap and heap[0][0] < time_ns:
            self.now, _, callback = heappop(heap)
            callback()
        self.now = max(self.now, time_ns)

    def run(self) -> None:
        """Run until no callback is left."""
        heap = self._heap
        while heap:
            self.now, _, callback = heappop(heap)
            callback()


class Job:
    """A unit of work on a resource."""

    __slots__ = ("done", "end", "ended", "hidden", "hides")

    def __init__(self, end: float, done: Callback, hidden: float = 0.0) -> None:
        self.end = end
        self.hidden = hidden
        """The part of its work that passes unseen while others run."""
        self.hides = False
        """Whether others run, so that ``end`` is without the hidden part."""
        self.ended = False
        """It runs no more, but its callback may still come: after those of jobs that ended at the
        same time."""
        self.done: Callback | None = done


class Shared:
    """Processor sharing: up to ``slots`` jobs run at full speed; more jobs are slowed down equally.

    A virtual clock runs at the speed of each job, so a job's end on it never changes, and one
    pending event suffices for any number of jobs."""

    __slots__ = (
        "_clock",
        "_heap",
        "_jobs",
        "_last_ns",
        "_pending",
        "_rate",
        "_slots",
        "_turn",
        "_virtual",
    )

    def __init__(self, clock: Clock, slots: float) -> None:
        self._clock = clock
        self._slots = slots
        self._heap: list[tuple[float, int, Job]] = []
        self._jobs = 0
        self._rate = 1.0
        """The speed of each job."""
        self._virtual = 0.0
        self._last_ns = 0
        self._turn = 0
        self._pending: int | None = None

    def start(self, work_ns: float, done: Callback, hidden: float = 0.0) -> Job:
        """Start a job that takes ``work_ns`` at full speed. ``hidden``: the part of it that others
        do not share, where a resource knows of that."""
        self._advance()
        job = Job(self._virtual + work_ns, done, hidden)
        self._turn += 1
        heappush(self._heap, (job.end, self._turn, job))
        self._count(1)
        self._wait()
        return job

    def cancel(self, job: Job) -> float:
        """End a job early; return its remaining work in ns. Its callback is not called."""
        job.done = None
        if job.ended:
            return 0.0
        self._advance()
        job.ended = True
        self._count(-1)
        self._wait()
        return max(job.end - self._virtual, 0.0)

    def _count(self, change: int) -> None:
        """Change the number of jobs, up to now at the speed before."""
        self._jobs += change
        self._rate = self._speed()

    def _speed(self) -> float:
        jobs, slots = self._jobs, self._slots
        return 1.0 if jobs <= slots else slots / jobs

    def _advance(self) -> None:
        now = self._clock.now
        if self._jobs:
            self._virtual += (now - self._last_ns) * self._rate
        self._last_ns = now

    def _wait(self) -> None:
        """Schedule the only event of this resource: the end of the job that ends first."""
        heap = self._heap
        while heap and heap[0][2].ended:
            heappop(heap)
        if not heap:
            self._pending = None
            return
        left = heap[0][0] - self._virtual
        left = left / self._rate if left > 0.0 else 0.0
        due = self._clock.now + math.ceil(left)
        if due != self._pending:
            self._pending = due
            self._clock.at(due, self._end)

    def _end(self) -> None:
        """End the jobs that are due, unless another time is pending by now."""
        if self._clock.now != self._pending:
            return
        self._pending = None
        self._advance()
        heap, until = self._heap, self._virtual + 1e-3
        over: list[Job] = []
        while heap and (heap[0][2].ended or heap[0][0] <= until):
            _, _, job = heappop(heap)
            if not job.ended:
                job.ended = True
                over.append(job)
        if over:
            self._count(-len(over))
        self._wait()
        for job in over:
            if job.done is not None:
                job.done()


class Alone(Shared):
    """A resource with a single user, which runs one job at a time."""

    __slots__ = ()

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock, 1)

    def ends_ns(self, work_ns: Iterable[float]) -> list[int]:
        """Return when each job of a series ends, the first of which begins now and each other one
        at the end of the one before; as if they were started one after another."""
        now, virtual = self._clock.now, self._virtual
        found = []
        for work in work_ns:
            # The virtual clock counts whole ns: no job slows another down.
            passed = math.ceil(virtual + work - virtual)
            now += passed
            virtual += passed
            found.append(now)
        return found

    def ran(self, for_ns: int) -> None:
        """Record that jobs of a series ran for ``for_ns`` until now."""
        self._virtual += for_ns
