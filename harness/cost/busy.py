"""When devices ran batches: intervals are merged once and then looked up for many times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from systems.interface import Activity

Times: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
"""Nanoseconds from the run's start."""

Key = tuple[str, str | None, int | None]
"""Device, function or group (None: a server of all functions) and threads (None: the
deployment's)."""


class Intervals(NamedTuple):
    """Intervals [start, end) as two columns."""

    start_ns: Times
    end_ns: Times

    def within(self, end_ns: int) -> Intervals:
        """Return the parts within [0, ``end_ns``)."""
        start, end = np.maximum(self.start_ns, 0), np.minimum(self.end_ns, end_ns)
        return Intervals(start[end > start], end[end > start])


def by_function(activity: Sequence[Activity]) -> dict[Key, Intervals]:
    """Group activities by device, function and threads, in order of first appearance."""
    if not activity:
        return {}
    count = len(activity)
    numbers: dict[Key, int] = {}
    group = np.fromiter(
        (
            numbers.setdefault((each.device, each.function_id, each.threads), len(numbers))
            for each in activity
        ),
        np.int64,
        count,
    )
    order = np.argsort(group, kind="stable")
    start = np.fromiter((each.start_ns for each in activity), np.int64, count)[order]
    end = np.fromiter((each.end_ns for each in activity), np.int64, count)[order]
    first = np.searchsorted(group[order], np.arange(1, len(numbers)))
    parts = zip(np.split(start, first), np.split(end, first), strict=True)
    return {key: Intervals(*part) for key, part in zip(numbers, parts, strict=True)}


def merge(intervals: Intervals) -> Intervals:
    """Return sorted intervals that cover the same time and neither overlap nor touch."""
    order = np.argsort(intervals.start_ns, kind="stable")
    start, end = intervals.start_ns[order], intervals.end_ns[order]
    start, end = start[end > start], end[end > start]
    if not len(start):
        return Intervals(start, end)
    until = np.maximum.accumulate(end)
    first = np.concatenate([[True], start[1:] > until[:-1]])
    last = np.concatenate([first[1:], [True]])
    return Intervals(start[first], until[last])


class Business:
    """When each function or group runs batches on each device, and when any of a device does."""

    def __init__(self, activities: dict[Key, Intervals]) -> None:
        of: dict[tuple[str, str | None], list[Intervals]] = {}
        for (device, function, _), intervals in activities.items():
            merged = merge(intervals)
            for whose in {function, None}:
                of.setdefault((device, whose), []).append(merged)
        self._changes = {key: _changes(_together(parts)) for key, parts in of.items()}

    def changes(self, device: str, function: str | None) -> Times:
        """Return the times at which activity begins (even indices) and ends (odd indices), in
        order. ``function`` None: of any function."""
        return self._changes.get((device, function), np.empty(0, np.int64))


def _together(parts: Sequence[Intervals]) -> Intervals:
    columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    return merge(Intervals(*columns))


def _changes(merged: Intervals) -> Times:
    return np.stack(merged, axis=1).ravel()
