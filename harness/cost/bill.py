"""The bill of a run: resources held over time, multiplied by dated prices.

Device memory is billed as *active* while an instance of its function, or of its group of functions
that share instances, runs a batch, and as *idle* otherwise. Bytes that all share are active while
any instance on that device runs a batch. On a machine without a GPU, the device is a budget of host
memory and is billed as the GPU memory that it stands for. Memory on the host itself is billed as
host memory.

Processor time is that of the instance's threads while it runs batches, used or not, and at least
what the kernel counted. An instance that computes after its requests finish, or with more threads
than it was given, pays for the additional time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from systems.interface import Activity, MemoryStep, ProcessorUse

from ..records.schema import BILLING, is_host
from .busy import Business, Intervals, Key, Times, by_function
from .holdings import by_holder
from .sheet import InstanceSheet, PriceSheet

GB = 1e9
Quantities = np.ndarray[Any, np.dtype[np.float64]]


def bill(
    memory: Sequence[MemoryStep],
    activity: Sequence[Activity],
    calls: Mapping[str, int],
    sheet: PriceSheet,
    *,
    end_ns: int,
    threads: int,
    processor: Sequence[ProcessorUse] = (),
) -> pa.Table:
    """Compute the bill of [0, ``end_ns``), one row per interval without changes. Times of memory
    and activity count from the run's start; ``calls`` by function; ``threads`` per instance."""
    activities = by_function(activity)
    parts = [
        *_memory_parts(memory, Business(activities), end_ns),
        *_vcpu_parts(activities, end_ns, threads),
        *_unpaid_parts(processor, activity, end_ns, threads),
        *_call_parts(calls, end_ns),
    ]
    return _priced([part for part in parts if len(part.quantity)], sheet)


def bill_instances(devices: int, sheet: InstanceSheet, *, end_ns: int) -> pa.Table:
    """Compute the bill of [0, ``end_ns``) of a serverful system: its share of an instance, by
    device and second, used or not. A user who must rent a whole instance pays more."""
    hours = devices / sheet.devices * end_ns / 3600e9
    row = ("instance_hours", 0, end_ns, hours, "h", sheet.usd_per_hour, hours * sheet.usd_per_hour)
    columns = zip(BILLING.names, (*row, None, None), strict=True)
    return pa.table({name: [value] for name, value in columns}, schema=BILLING)


class _Part(NamedTuple):
    """Rows of one resource for one function, or one group, on one device."""

    resource: str
    device: str | None
    function: str | None
    when: Intervals
    quantity: Quantities


def _memory_parts(memory: Sequence[MemoryStep], business: Business, end_ns: int) -> Iterable[_Part]:
    for (device, _, function), (at, size) in by_holder(memory).items():
        changes = np.empty(0, np.int64) if is_host(device) else business.changes(device, function)
        when, held, active = _stretches(at, size, changes, end_ns)
        quantity = held / GB * (when.end_ns - when.start_ns) / 1e9
        if is_host(device):
            yield _Part("host_memory", device, function, when, quantity)
            continue
        for resource, chosen in (("gpu_memory_active", active), ("gpu_memory_idle", ~active)):
            chosen_when = Intervals(when.start_ns[chosen], when.end_ns[chosen])
            yield _Part(resource, device, function, chosen_when, quantity[chosen])


def _stretches(
    at: Times, size: Times, changes: Times, end_ns: int
) -> tuple[Intervals, Times, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Return the intervals within the run in which the bytes held are positive and nothing changes:
    interval, bytes, and whether batches ran. ``size[i]`` is held from ``at[i]`` on."""
    first = max(int(at[0]), 0)
    # The input consists of two sorted runs, which a stable sort only merges.
    edges = np.sort(np.concatenate([changes, at, [first, end_ns]]), kind="stable")
    edges = edges[(edges >= first) & (edges <= end_ns)]
    lasting = edges[1:] > edges[:-1]
    start, end = edges[:-1][lasting], edges[1:][lasting]
    held = size[np.searchsorted(at, start, side="right") - 1]
    active = np.searchsorted(changes, start, side="right") % 2 == 1
    some = held > 0
    return Intervals(start[some], end[some]), held[some], active[some]


def _vcpu_parts(activities: Mapping[Key, Intervals], end_ns: int, threads: int) -> Iterable[_Part]:
    """``threads`` applies to activities without their own number of threads."""
    for (device, function, own), intervals in activities.items():
        when = intervals.within(end_ns)
        quantity = (own or threads) * (when.end_ns - when.start_ns) / 1e9
        yield _Part("vcpu_active", device, function, when, quantity)


def _unpaid_parts(
    processor: Sequence[ProcessorUse], activity: Sequence[Activity], end_ns: int, threads: int
) -> Iterable[_Part]:
    """Processor time beyond that of the threads that an instance pays for while it runs batches."""
    paid: Counter[str] = Counter()
    for each in activity if processor else ():
        paid[each.instance_id] += (each.threads or threads) * (each.end_ns - each.start_ns)
    for use in processor:
        beyond_ns = use.used_ns - paid[use.instance_id]
        when = Intervals(np.array([use.start_ns]), np.array([use.end_ns])).within(end_ns)
        if beyond_ns > 0:
            quantity = np.full(len(when.start_ns), beyond_ns / 1e9)
            yield _Part("vcpu_active", use.device, use.function_id, when, quantity)


def _call_parts(calls: Mapping[str, int], end_ns: int) -> Iterable[_Part]:
    whole = Intervals(np.zeros(1, np.int64), np.full(1, end_ns, np.int64))
    for function, count in sorted(calls.items()):
        yield _Part("calls", None, function, whole, np.array([float(count)]))


def _priced(parts: Sequence[_Part], sheet: PriceSheet) -> pa.Table:
    if not parts:
        return BILLING.empty_table()
    which = np.repeat(np.arange(len(parts), dtype=np.int32), [len(p.quantity) for p in parts])
    quantity = np.concatenate([part.quantity for part in parts])
    price = np.array([sheet.usd(part.resource) for part in parts])[which]
    columns = {
        "resource": _each([part.resource for part in parts], which),
        "start_ns": np.concatenate([part.when.start_ns for part in parts]),
        "end_ns": np.concatenate([part.when.end_ns for part in parts]),
        "quantity": quantity,
        "unit": _each([sheet.units[part.resource] for part in parts], which),
        "unit_price_usd": price,
        "usd": quantity * price,
        "function_id": _each([part.function for part in parts], which),
        "device": _each([part.device for part in parts], which),
    }
    return pa.table(columns, schema=BILLING)


def _each(values: Sequence[str | None], which: np.ndarray[Any, np.dtype[np.int32]]) -> pa.Array:
    return pa.array(values, pa.string()).take(pa.array(which))
