"""Time the bill of a million batches of 64 functions on 8 devices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.compute as pc

from harness.cost import bill, price_sheet
from systems.interface import Activity, MemoryOwner, MemoryStep
from workloads.streams import stream

ACTIVITIES = 1_000_000
DEVICES = 8
FUNCTIONS = 64
MEAN_GAP_NS = 10_000_000
MEAN_BATCH_NS = 25_000_000
GB = 10**9


def batches(count: int) -> list[Activity]:
    """Draw batches with Poisson starts, exponential lengths, and uniform devices and functions."""
    draw = stream(7, "bill", count)
    start = np.cumsum(draw.exponential(MEAN_GAP_NS, count).astype(int))
    length = draw.exponential(MEAN_BATCH_NS, count).astype(int) + 1
    device = draw.integers(DEVICES, size=count)
    function = draw.integers(FUNCTIONS, size=count)
    columns = (column.tolist() for column in (start, start + length, device, function))
    return [
        Activity(start, end, f"cuda:{device}", f"{device}/{function}", f"f{function}")
        for start, end, device, function in zip(*columns, strict=True)
    ]


def holdings() -> list[MemoryStep]:
    """Make memory steps: per device a shared backbone, and each function's context and adapter."""
    own = ((MemoryOwner.CONTEXT, 473 * 10**6), (MemoryOwner.ADAPTERS, 34 * 10**6))
    return [
        step
        for name in (f"cuda:{index}" for index in range(DEVICES))
        for step in (
            MemoryStep(0, name, MemoryOwner.WEIGHTS, None, 14 * GB),
            *(
                MemoryStep(0, name, owner, f"f{index}", size)
                for index in range(FUNCTIONS)
                for owner, size in own
            ),
        )
    ]


def test_a_million_batches(benchmark: Any) -> None:
    activity = batches(ACTIVITIES // 100 if benchmark.disabled else ACTIVITIES)
    memory, sheet = holdings(), price_sheet("alibaba-fc")
    end_ns = max(each.end_ns for each in activity)
    table = benchmark.pedantic(
        lambda: bill(memory, activity, {}, sheet, end_ns=end_ns, threads=1), rounds=3
    )
    benchmark.extra_info.update(activities=len(activity), rows=table.num_rows)
    held = sum(step.bytes for step in memory) / GB * end_ns / 1e9
    billed = pc.sum(pc.filter(table["quantity"], pc.equal(table["unit"], "GB.s"))).as_py()
    assert abs(billed - held) < 1e-6 * held
