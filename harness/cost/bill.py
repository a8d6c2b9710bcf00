"""The bill of a run: who held what for how long, times a dated price.

Device memory is billed as *active* while an instance of its function runs a batch, and as *idle*
otherwise; bytes that several functions share are active while any instance of that device runs one.
On a machine without a GPU the device is a budget of host memory, billed as the GPU memory that it
stands for. What is held on the host itself is billed as host memory, never as a GPU's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from systems.interface import Activity, MemoryStep

from ..records.schema import BILLING
from .sheet import InstanceSheet, PriceSheet

GB = 1e9
HOST = "host"
Interval = tuple[int, int]


def bill(
    memory: Sequence[MemoryStep],
    activity: Sequence[Activity],
    calls: Mapping[str, int],
    sheet: PriceSheet,
    *,
    end_ns: int,
    threads: int,
) -> pa.Table:
    """The bill of [0, ``end_ns``), a row per interval in which nothing changed. Times of memory
    and activity count from the run's start; ``calls`` by function; ``threads`` per instance."""
    rows = [
        *_memory_rows(memory, activity, end_ns),
        *_vcpu_rows(activity, end_ns, threads),
        *(_Row("calls", 0, end_ns, float(n), f, None) for f, n in sorted(calls.items())),
    ]
    return _priced(rows, sheet)


def bill_instances(devices: int, sheet: InstanceSheet, *, end_ns: int) -> pa.Table:
    """The bill of [0, ``end_ns``) of a serverful system: whole instances for as many devices,
    whether they are called or not, by the second."""
    instances = -(-devices // sheet.devices)
    hours = instances * end_ns / 3600e9
    row = ("instance_hours", 0, end_ns, hours, "h", sheet.usd_per_hour, hours * sheet.usd_per_hour)
    columns = zip(BILLING.names, (*row, None, None), strict=True)
    return pa.table({name: [value] for name, value in columns}, schema=BILLING)


class _Row(NamedTuple):
    resource: str
    start_ns: int
    end_ns: int
    quantity: float
    function: str | None
    device: str | None


def _memory_rows(
    memory: Sequence[MemoryStep], activity: Sequence[Activity], end_ns: int
) -> Iterable[_Row]:
    busy = _busy(activity)
    for (device, _, function), steps in _by_holding(memory).items():
        for start, end, size in _held(steps, end_ns):
            if device == HOST:
                quantity = size / GB * (end - start) / 1e9
                yield _Row("host_memory", start, end, quantity, function, device)
                continue
            for low, high, active in _split(start, end, busy.get((device, function), [])):
                resource = "gpu_memory_active" if active else "gpu_memory_idle"
                quantity = size / GB * (high - low) / 1e9
                yield _Row(resource, low, high, quantity, function, device)


def _busy(activity: Sequence[Activity]) -> dict[tuple[str, str | None], list[Interval]]:
    """When each function ran on each device, and (function None) when any did."""
    found: dict[tuple[str, str | None], list[Interval]] = {}
    for each in activity:
        for function in (each.function_id, None):
            found.setdefault((each.device, function), []).append((each.start_ns, each.end_ns))
    return {key: merge(intervals) for key, intervals in found.items()}


def _by_holding(memory: Sequence[MemoryStep]) -> dict[tuple[str, str, str | None], Any]:
    found: dict[tuple[str, str, str | None], list[MemoryStep]] = {}
    for step in sorted(memory, key=lambda step: step.t_ns):
        found.setdefault((step.device, step.owner, step.function_id), []).append(step)
    return found


def _held(steps: Sequence[MemoryStep], end_ns: int) -> Iterable[tuple[int, int, int]]:
    """(start, end, bytes) within the run, where there are any bytes."""
    ends = [*(step.t_ns for step in steps[1:]), end_ns]
    for step, until in zip(steps, ends, strict=True):
        start, end = max(step.t_ns, 0), min(until, end_ns)
        if end > start and step.bytes:
            yield start, end, step.bytes


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """The same time covered by intervals that do not overlap, in order."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _split(start: int, end: int, busy: Sequence[Interval]) -> Iterable[tuple[int, int, bool]]:
    """[start, end) cut where business begins and ends. ``busy`` is merged, hence in order."""
    cursor = start
    for index in range(bisect_right(busy, start, key=lambda each: each[1]), len(busy)):
        low, high = max(busy[index][0], start), min(busy[index][1], end)
        if low >= end:
            break
        if low > cursor:
            yield cursor, low, False
        yield low, high, True
        cursor = high
    if cursor < end:
        yield cursor, end, False


def _vcpu_rows(activity: Sequence[Activity], end_ns: int, threads: int) -> Iterable[_Row]:
    for each in activity:
        start, end = max(each.start_ns, 0), min(each.end_ns, end_ns)
        if end > start:
            quantity = threads * (end - start) / 1e9
            yield _Row("vcpu_active", start, end, quantity, each.function_id, each.device)


def _priced(rows: Sequence[_Row], sheet: PriceSheet) -> pa.Table:
    prices = {resource: sheet.usd(resource) for resource in {row.resource for row in rows}}
    columns: dict[str, list[Any]] = {
        "resource": [row.resource for row in rows],
        "start_ns": [row.start_ns for row in rows],
        "end_ns": [row.end_ns for row in rows],
        "quantity": [row.quantity for row in rows],
        "unit": [sheet.units[row.resource] for row in rows],
        "unit_price_usd": [prices[row.resource] for row in rows],
        "usd": [row.quantity * prices[row.resource] for row in rows],
        "function_id": [row.function for row in rows],
        "device": [row.device for row in rows],
    }
    return pa.table(columns, schema=BILLING)
