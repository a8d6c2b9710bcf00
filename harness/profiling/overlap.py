"""What goes on beside a span of time, as intervals of it in which that does not change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

Interval = tuple[int, int]


class Part(NamedTuple):
    """``beside``: the number of intervals of each kind that cover this part."""

    seconds: float
    beside: tuple[int, ...]


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the time that at least one of ``intervals`` covers."""
    found: list[Interval] = []
    for start, end in sorted(intervals):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def parts(span: Interval, *kinds: Sequence[Interval]) -> Iterator[Part]:
    """Yield the parts of ``span`` (ns), in order."""
    start, end = span
    near = [[each for each in kind if each[0] < end and start < each[1]] for kind in kinds]
    edges = {edge for kind in near for each in kind for edge in each if start < edge < end}
    times = sorted({start, end} | edges)
    for left, right in pairwise(times):
        counts = (sum(a <= left and right <= b for a, b in kind) for kind in near)
        yield Part((right - left) / 1e9, tuple(counts))
