"""The warm pool: how many prewarmed processes to keep, which one is taken, when the next is made.
Live and simulated platforms define what a prewarmed process is and how it is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from .artifacts import CopyKey


class PrewarmedProcess(Protocol):
    """A process that maps a shared copy and belongs to no instance yet."""

    copy: CopyKey

    @property
    def done(self) -> int:
        """Completed steps towards being ready."""

    @property
    def ready(self) -> bool: ...


S = TypeVar("S", bound=PrewarmedProcess)


class WarmPool(Generic[S]):
    """Keeps ``count`` processes per shared copy. ``make`` starts one, or returns None if it
    cannot."""

    def __init__(self, count: int, make: Callable[[CopyKey], S | None]) -> None:
        self._count, self._make = count, make
        self.prewarmed: list[S] = []

    def refill(self, key: CopyKey) -> None:
        """Start a process of ``key``, which is loaded, if there are too few. They are made one
        after another: in parallel, each would take as long as all of them."""
        there = [
            prewarmed_process
            for prewarmed_process in self.prewarmed
            if prewarmed_process.copy == key
        ]
        if len(there) < self._count and all(prewarmed_process.ready for prewarmed_process in there):
            prewarmed_process = self._make(key)
            if prewarmed_process is not None:
                self.prewarmed.append(prewarmed_process)

    def became_ready(self, prewarmed_process: S) -> None:
        """Start the next process, unless this one was taken meanwhile or its copy was dropped."""
        if prewarmed_process in self.prewarmed:
            self.refill(prewarmed_process.copy)

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
        return taken

    def lose(self, prewarmed_process: S) -> None:
        """Remove a process that ended, if it is still in the pool."""
        if prewarmed_process in self.prewarmed:
            self.prewarmed.remove(prewarmed_process)

    def drop(self, key: CopyKey) -> list[S]:
        """Remove and return the processes of a copy that is dropped."""
        gone = [
            prewarmed_process
            for prewarmed_process in self.prewarmed
            if prewarmed_process.copy == key
        ]
        self.prewarmed = [
            prewarmed_process
            for prewarmed_process in self.prewarmed
            if prewarmed_process.copy != key
        ]
        return gone
