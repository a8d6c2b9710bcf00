"""How long a run of several cells still takes. Times are passed in, in seconds."""

from __future__ import annotations

from collections.abc import Sequence


class RunClock:
    """``lengths_s``: of each cell's load. What a cell takes beyond its load is taken to be the mean
    of those that have ended, and at first a guess."""

    FIRST_GUESS_S = 5.0

    def __init__(self, lengths_s: Sequence[float]) -> None:
        self._lengths_s = lengths_s
        self._beyond_s: list[float] = []
        self._began_s = 0.0
        self._index = -1

    def begin(self, now_s: float) -> None:
        """The next cell begins."""
        self._index += 1
        self._began_s = now_s

    def end(self, now_s: float) -> None:
        """The cell has ended."""
        self._beyond_s.append(max(now_s - self._began_s - self._lengths_s[self._index], 0.0))

    @property
    def cell(self) -> str:
        """The cell's number of all."""
        return f"{self._index + 1}/{len(self._lengths_s)}"

    def left_s(self, now_s: float) -> float:
        """Return the seconds until the last cell ends."""
        known = self._beyond_s
        beyond_s = sum(known) / len(known) if known else self.FIRST_GUESS_S
        whole = [length + beyond_s for length in self._lengths_s[max(self._index, 0) :]]
        gone_s = now_s - self._began_s if self._index >= 0 else 0.0
        return max(whole[0] - gone_s, 0.0) + sum(whole[1:]) if whole else 0.0
