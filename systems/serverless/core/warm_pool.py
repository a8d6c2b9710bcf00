"""Which spare processes there are to be: how many, which is taken, when the next is made. The same
live and in virtual time; what a spare is, and how it is made, is theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from .artifacts import CopyKey


class PrewarmedProcess(Protocol):
    """A process of a shared copy that is nobody's yet."""

    copy: CopyKey

    @property
    def done(self) -> int:
        """Steps towards being ready that are behind it."""

    @property
    def ready(self) -> bool: ...


S = TypeVar("S", bound=PrewarmedProcess)


class WarmPool(Generic[S]):
    """Keeps ``count`` for each shared copy. ``make`` begins one; None where it cannot."""

    def __init__(self, count: int, make: Callable[[CopyKey], S | None]) -> None:
        self._count, self._make = count, make
        self.prewarmed: list[S] = []

    def refill(self, key: CopyKey) -> None:
        """``key`` is resident and there may be too few spares of it. They are made one after the
        other: at once, each would take as long as all of them."""
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
        """The next one may be made, unless it was taken meanwhile or its copy is gone."""
        if prewarmed_process in self.prewarmed:
            self.refill(prewarmed_process.copy)

    def take(self, backbone: str, device: str) -> S | None:
        """The furthest, no longer a spare; one that is not ready is still ahead of a new fork, and
        leaves the device to itself."""
        fitting = [
            s for s in self.prewarmed if (s.copy.backbone, s.copy.device) == (backbone, device)
        ]
        if not fitting:
            return None
        taken = max(fitting, key=lambda prewarmed_process: prewarmed_process.done)
        self.prewarmed.remove(taken)
        return taken

    def lose(self, prewarmed_process: S) -> None:
        """It has ended, whoever's it is by now."""
        if prewarmed_process in self.prewarmed:
            self.prewarmed.remove(prewarmed_process)

    def drop(self, key: CopyKey) -> list[S]:
        """The copy goes: so does whatever maps it. Those that were there."""
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
