"""What a run costs: who held what for how long, times a dated price.

Device memory is billed as *active* while an instance of its function runs a batch, and as *idle*
otherwise; bytes that several functions share are active while any instance of that device runs one.
On a machine without a GPU the device is a budget of host memory, billed as the GPU memory that it
stands for; host memory beside it is then not billed again.
"""

from __future__ import annotations

import hashlib
import tomllib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from systems.interface import Activity, MemoryStep

from .errors import HarnessError
from .records.schema import BILLING

GB = 1e9
Interval = tuple[int, int]


class PriceSheet(BaseModel):
    """Prices by resource: CU per unit, and dollars per CU; dated and with a source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    date: str
    source: str
    usd_per_cu: float
    cu: Mapping[str, float]
    units: Mapping[str, str]
    sha256: str = ""

    def usd(self, resource: str) -> float:
        """Dollars per unit."""
        return self.cu[resource] * self.usd_per_cu


def price_sheet(name: str) -> PriceSheet:
    """A sheet that ships, by name, or a TOML by path."""
    folder = Path(str(files("harness") / "prices"))
    path = Path(name) if name.endswith(".toml") else folder / f"{name}.toml"
    if not path.exists():
        known = ", ".join(sorted(sheet.stem for sheet in folder.glob("*.toml")))
        raise HarnessError(f"prices {name!r} are unknown; known: {known}, or a .toml file")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return PriceSheet.model_validate({**tomllib.loads(content.decode()), "sha256": digest})


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
        *(("calls", 0, end_ns, float(n), function) for function, n in sorted(calls.items())),
    ]
    return _priced(rows, sheet)


_Row = tuple[str, int, int, float, str | None]


def _memory_rows(
    memory: Sequence[MemoryStep], activity: Sequence[Activity], end_ns: int
) -> Iterable[_Row]:
    for (device, _, function), steps in _by_holding(memory).items():
        busy = merge(
            (a.start_ns, a.end_ns)
            for a in activity
            if a.device == device and function in (None, a.function_id)
        )
        for start, end, size in _held(steps, end_ns):
            for low, high, active in _split(start, end, busy):
                resource = "gpu_memory_active" if active else "gpu_memory_idle"
                yield resource, low, high, size / GB * (high - low) / 1e9, function


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
            yield "vcpu_active", start, end, threads * (end - start) / 1e9, each.function_id


def _priced(rows: Sequence[_Row], sheet: PriceSheet) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [] for name in BILLING.names}
    for resource, start, end, quantity, function in rows:
        price = sheet.usd(resource)
        values = (
            resource,
            start,
            end,
            quantity,
            sheet.units[resource],
            price,
            quantity * price,
            function,
        )
        for name, value in zip(BILLING.names, values, strict=True):
            columns[name].append(value)
    return pa.table(columns, schema=BILLING)
