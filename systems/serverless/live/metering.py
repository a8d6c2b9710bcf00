"""The processor time of an instance's process that counts for its function."""

from __future__ import annotations

import time
from dataclasses import dataclass

from systems.runtime import processor
from systems.runtime.children import Child
from systems.runtime.processor import Metered


@dataclass(slots=True)
class Meter:
    """Counts from ``since_ns``; ``before_ns``: the processor time that the process had used until
    then."""

    since_ns: int
    before_ns: int

    @classmethod
    def start(cls, child: Child) -> Meter:
        """Count what ``child`` uses from now on."""
        before_ns = used_ns(child)
        return cls(time.monotonic_ns(), before_ns)

    def read(self, child: Child) -> Metered | None:
        """Return what ``child`` has used so far; None if that is unknown."""
        if child.pid is None:
            return None
        used = child.used_ns if child.ended else processor.used_ns(child.pid)
        if used is None:
            return None
        return Metered(self.since_ns, time.monotonic_ns(), max(0, used - self.before_ns))

    def add(self, used_ns: int) -> None:
        """Count processor time of another process too."""
        self.before_ns -= used_ns

    def pass_on(self, old: Child, new: Child) -> None:
        """Keep what ``old`` has used; processor time of ``new`` counts from now on."""
        self.before_ns = used_ns(new) - (used_ns(old) - self.before_ns)


def used_ns(child: Child) -> int:
    """Return the processor time of a running process; 0 if it has no process id yet or is gone."""
    found = processor.used_ns(child.pid) if child.pid else None
    return found or 0
