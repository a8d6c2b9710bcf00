"""The requests of a probe cell, written down in order of time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from .probe import Request


@dataclass
class Script:
    """Requests from the time 0 on. ``ids``: the requests of each part, by its name; a request's id
    is its place in the order."""

    requests: list[Request] = field(default_factory=list)
    ids: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    _at_s: float = 0.0

    def send(self, part: str, function: str, prompt: int, output: int, times: int = 1) -> None:
        """Send ``times`` equal requests now."""
        for _ in range(times):
            self.ids[part].append(len(self.requests))
            self.requests.append((self._at_s, function, prompt, output))

    def wait(self, seconds: float) -> None:
        self._at_s += seconds

    def of(self, *parts: str) -> Sequence[int]:
        """Return the ids of these parts, in order of time."""
        return sorted(each for part in parts for each in self.ids[part])
