"""The warm pool: how many prewarmed processes to keep, which one is taken, when the next is made.
Live and simulated platforms define what a prewarmed process is and how it is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, Protocol, TypeVar

from .artifacts import CopyKey
from .events import PrewarmedReady


class PrewarmedProcess(Protocol):
    """A process that maps a shared copy and belongs to no instance yet."""

    copy: CopyKey

    @property
    def done(self) -> int:
        """Completed steps towards being ready."""

    @property
    def ready(self) -> bool: ...

    @property
    def took_ns(self) -> int:
        """How long it took until it was ready, without the import of libraries."""


S = TypeVar("S", bound=PrewarmedProcess)

Later = Callable[[float, Callable[[], None]], object]

PATIENCE_S = 0.5
"""For each ready process, how long the next one waits for its device to be idle. An empty pool does
not wait: without a process, the next instance builds an engine itself, beside the same work."""


class WarmPool(Generic[S]):
    """Keeps ``count`` processes per shared copy. ``make`` starts one, or returns None if it
    cannot; ``later`` calls a function after a number of seconds. ``tell`` is called when the number
    of those that are ready has changed."""

    def __init__(
        self,
        count: int,
        make: Callable[[CopyKey], S | None],
        later: Later,
        tell: Callable[[PrewarmedReady], None],
    ) -> None:
        self._count, self._make, self._later, self._tell = count, make, later, tell
        self.prewarmed: list[S] = []
        self.busy: set[str] = set()
        """Devices on which instances run requests."""
        self._postponed: set[CopyKey] = set()
        self._replaced: Counter[CopyKey] = Counter()
        self._told: Counter[CopyKey] = Counter()

    def refill(self, key: CopyKey) -> None:
        """Start a process of ``key``, which is loaded, if there are too few. They are made one
        after another: in parallel, each would take as long as all of them. A replaced process that
        has not ended counts, since it holds memory that is reserved for the pool."""
        patience_s = len(self._of(key)) * PATIENCE_S if key.device in self.busy else 0
        if not self._wants(key) or (patience_s and key in self._postponed):
            return
        if patience_s:
            self._postponed.add(key)
            self._later(patience_s, partial(self._patience_over, key))
        else:
            self._start(key)

    def _wants(self, key: CopyKey) -> bool:
        there = self._of(key)
        count = len(there) + self._replaced[key]
        return count < self._count and all(prewarmed_process.ready for prewarmed_process in there)

    def _patience_over(self, key: CopyKey) -> None:
        if key in self._postponed:
            self._start(key)

    def _start(self, key: CopyKey) -> None:
        self._postponed.discard(key)
        prewarmed_process = self._make(key) if self._wants(key) else None
        if prewarmed_process is not None:
            self.prewarmed.append(prewarmed_process)

    @property
    def settled(self) -> bool:
        """Whether no process is being made or waits for that."""
        return not self._postponed and all(each.ready for each in self.prewarmed)

    def device_work(self, device: str, *, busy: bool) -> None:
        """Record whether instances run requests on ``device``. Making a process takes the GPU from
        them, so it waits, within limits, until there are none."""
        (self.busy.add if busy else self.busy.discard)(device)
        for key in [key for key in self._postponed if key.device == device and not busy]:
            self._start(key)

    def close(self) -> None:
        """Make no more processes."""
        self._count = 0

    def became_ready(self, prewarmed_process: S) -> None:
        """Tell of it and start the next process, unless this one was taken meanwhile or its copy
        was dropped."""
        if prewarmed_process in self.prewarmed:
            self._changed(prewarmed_process.copy, prewarmed_process.took_ns)
            self.refill(prewarmed_process.copy)

    def fill(self, key: CopyKey, ready: Sequence[S]) -> None:
        """Add processes of ``key`` that are ready."""
        self.prewarmed += ready
        self._changed(key, ready[0].took_ns if ready else 0)

    def _changed(self, key: CopyKey, took_ns: int = 0) -> None:
        """Tell how many processes of ``key`` are ready, if that has changed."""
        ready = sum(each.ready for each in self._of(key))
        if ready != self._told[key]:
            self._told[key] = ready
            self._tell(PrewarmedReady(key, ready, took_ns))

    def take(self, backbone: str, device: str) -> S | None:
        """Remove and return the most complete process, or None. One that is not ready is still
        faster than a new fork, and no longer shares the device with it."""
        fitting = [
            s for s in self.prewarmed if (s.copy.backbone, s.copy.device) == (backbone, device)
        ]
        if not fitting:
            return None
        taken = max(fitting, key=lambda prewarmed_process: prewarmed_process.done)
        self.prewarmed.remove(taken)
        self._changed(taken.copy)
        return taken

    def replace(self, key: CopyKey) -> S | None:
        """Remove and return a ready process that replaces the process of an instance, or None.
        Until :meth:`replaced_ended`, the replaced process takes its place in the pool's memory."""
        ready = next((s for s in self._of(key) if s.ready), None)
        if ready is not None:
            self.prewarmed.remove(ready)
            self._replaced[key] += 1
            self._changed(key)
        return ready

    def replaced_ended(self, key: CopyKey) -> None:
        """Record that a process that was replaced by one of ``key`` has ended."""
        self._replaced[key] -= 1

    def _of(self, key: CopyKey) -> list[S]:
        return [
            prewarmed_process
            for prewarmed_process in self.prewarmed
            if prewarmed_process.copy == key
        ]

    def lose(self, prewarmed_process: S) -> None:
        """Remove a process that ended, if it is still in the pool."""
        if prewarmed_process in self.prewarmed:
            self.prewarmed.remove(prewarmed_process)
            self._changed(prewarmed_process.copy)

    def drop(self, key: CopyKey) -> list[S]:
        """Remove and return the processes of a copy that is dropped."""
        self._postponed.discard(key)
        gone = self._of(key)
        self.prewarmed = [
            prewarmed_process
            for prewarmed_process in self.prewarmed
            if prewarmed_process.copy != key
        ]
        self._changed(key)
        return gone
