"""The bill is amount × time × price of everything that was held, each counted once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cost import Intervals, bill, merge, price_sheet
from harness.errors import HarnessError
from systems.interface import Activity, MemoryOwner, MemoryStep, ProcessorUse

SHEET = price_sheet("alibaba-fc")
S = 1_000_000_000
GB = 1_000_000_000


def step(t_s: float, size: float, function: str | None = "f0") -> MemoryStep:
    return MemoryStep(round(t_s * S), "cpu:0", MemoryOwner.WEIGHTS, function, round(size * GB))


def busy(start_s: float, end_s: float, function: str = "f0") -> Activity:
    return Activity(round(start_s * S), round(end_s * S), "cpu:0", "0", function)


def test_memory_is_active_while_its_function_runs_and_idle_otherwise() -> None:
    table = bill([step(-5, 2)], [busy(2, 5)], {}, SHEET, end_ns=10 * S, threads=1)
    quantities = dict.fromkeys(table["resource"].to_pylist(), 0.0)
    for resource, quantity in zip(
        table["resource"].to_pylist(), table["quantity"].to_pylist(), strict=True
    ):
        quantities[resource] += quantity
    assert quantities == {
        "gpu_memory_active": pytest.approx(6),
        "gpu_memory_idle": pytest.approx(14),
        "vcpu_active": pytest.approx(3),
    }


def test_shared_bytes_are_active_while_anyone_runs() -> None:
    table = bill(
        [step(0, 1, None)], [busy(0, 2, "f0"), busy(1, 3, "f1")], {}, SHEET, end_ns=4 * S, threads=1
    )
    rows = table.to_pylist()
    active = sum(r["quantity"] for r in rows if r["resource"] == "gpu_memory_active")
    assert active == pytest.approx(3)
    assert {r["function_id"] for r in rows if r["resource"].startswith("gpu")} == {None}


def test_cores_are_those_that_an_activity_has_or_else_the_deployments() -> None:
    """A server with eight threads and an instance with two, each busy for three seconds."""
    server = replace(busy(0, 3, "f0"), threads=8)
    table = bill([], [server, busy(1, 4, "f1")], {}, SHEET, end_ns=4 * S, threads=2)
    quantity = {row["function_id"]: row["quantity"] for row in table.to_pylist()}
    assert quantity == {"f0": 24.0, "f1": 6.0}


def used(seconds: float, end_s: float = 10) -> ProcessorUse:
    return ProcessorUse(S, round(end_s * S), "cpu:0", "0", "f0", round(seconds * S))


def test_processor_time_that_the_kernel_counted_is_billed_whatever_an_instance_said() -> None:
    """An instance answered after 0.13 s and then computed on: 7.2 s were once billed as 0.13 s."""
    rows = bill(
        [], [busy(1, 1.13)], {}, SHEET, end_ns=10 * S, threads=1, processor=[used(7.2)]
    ).to_pylist()
    assert {row["resource"] for row in rows} == {"vcpu_active"}
    assert {row["function_id"] for row in rows} == {"f0"}
    assert sum(row["quantity"] for row in rows) == pytest.approx(7.2)


def test_threads_that_are_held_are_paid_for_whether_they_are_used_or_not() -> None:
    """So the kernel's processor time changes the bill only if it exceeds the billed threads."""
    without = bill([], [busy(1, 4)], {}, SHEET, end_ns=10 * S, threads=2)
    seen = bill([], [busy(1, 4)], {}, SHEET, end_ns=10 * S, threads=2, processor=[used(6)])
    assert seen.equals(without)


def test_what_was_used_before_the_run_or_after_it_is_no_part_of_its_bill() -> None:
    after = ProcessorUse(10 * S, 12 * S, "cpu:0", "0", "f0", S)
    before = ProcessorUse(-2 * S, 0, "cpu:0", "1", "f0", S)
    billed = bill([], [], {}, SHEET, end_ns=10 * S, threads=1, processor=[before, after])
    assert billed.num_rows == 0


def test_calls_are_billed_by_function() -> None:
    table = bill([], [], {"f0": 10_000}, SHEET, end_ns=S, threads=1)
    (row,) = table.to_pylist()
    assert row["usd"] == pytest.approx(75 * SHEET.usd_per_cu)


times = st.floats(0, 100)


@given(
    steps=st.lists(st.tuples(times, st.floats(0, 4), st.sampled_from(["f0", "f1", None]))),
    runs=st.lists(st.tuples(times, times, st.sampled_from(["f0", "f1"]))),
)
def test_the_parts_sum_to_the_bill_and_to_what_was_held(
    steps: list[tuple[float, float, str | None]], runs: list[tuple[float, float, str]]
) -> None:
    memory = [step(*each) for each in steps]
    activity = [busy(min(a, b), max(a, b), f) for a, b, f in runs]
    rows = bill(memory, activity, {"f0": 3}, SHEET, end_ns=100 * S, threads=1).to_pylist()
    total = sum(row["usd"] for row in rows)
    by_owner = dict.fromkeys(("f0", "f1", None), 0.0)
    for row in rows:
        by_owner[row["function_id"]] += row["usd"]
    assert sum(by_owner.values()) == pytest.approx(total, rel=1e-3)
    held = sum(row["quantity"] for row in rows if row["unit"] == "GB.s")
    assert held == pytest.approx(_integral(memory), rel=1e-6, abs=1e-6)


def _integral(memory: list[MemoryStep]) -> float:
    """Return the GB·s over [0, 100 s], computed step by step for each function."""
    total = 0.0
    for function in ("f0", "f1", None):
        own = sorted((m for m in memory if m.function_id == function), key=lambda m: m.t_ns)
        for index, each in enumerate(own):
            end = own[index + 1].t_ns if index + 1 < len(own) else 100 * S
            total += each.bytes / GB * (end - each.t_ns) / S
    return total


seconds = st.integers(0, 20)
places = st.sampled_from(["gpu:0", "gpu:1"])
functions = st.sampled_from(["f0", "f1"])


@given(
    steps=st.lists(st.tuples(seconds, st.integers(0, 3), places, functions | st.none())),
    runs=st.lists(st.tuples(seconds, seconds, places, functions)),
)
def test_memory_is_active_in_exactly_the_seconds_in_which_it_was_used(
    steps: list[tuple[int, int, str, str | None]], runs: list[tuple[int, int, str, str]]
) -> None:
    """Compare with a bill that looks at every second separately."""
    memory = [
        MemoryStep(t * S, device, MemoryOwner.WEIGHTS, function, size * GB)
        for t, size, device, function in steps
    ]
    activity = [Activity(min(a, b) * S, max(a, b) * S, d, "0", f) for a, b, d, f in runs]
    billed = dict.fromkeys(("gpu_memory_active", "gpu_memory_idle"), 0.0)
    for row in bill(memory, activity, {}, SHEET, end_ns=20 * S, threads=1).to_pylist():
        assert 0 <= row["start_ns"] < row["end_ns"] <= 20 * S
        if row["resource"] in billed:
            billed[row["resource"]] += row["quantity"]
    expected = dict.fromkeys(billed, 0)
    for device in ("gpu:0", "gpu:1"):
        for owner in ("f0", "f1", None):
            for second in range(20):
                used = any(
                    min(a, b) <= second < max(a, b) and d == device and owner in (f, None)
                    for a, b, d, f in runs
                )
                held = [s for s in steps if s[0] <= second and s[2:] == (device, owner)]
                size = (
                    max(enumerate(held), key=lambda each: (each[1][0], each[0]))[1][1]
                    if held
                    else 0
                )
                expected["gpu_memory_active" if used else "gpu_memory_idle"] += size
    assert billed == pytest.approx(expected)


def test_merged_intervals_do_not_overlap() -> None:
    start_ns, end_ns = merge(Intervals(np.array([5, 0, 1, 3, 9]), np.array([7, 2, 3, 4, 9])))
    assert start_ns.tolist() == [0, 5]
    assert end_ns.tolist() == [4, 7]


def test_an_unknown_sheet_names_the_known_ones() -> None:
    with pytest.raises(HarnessError, match="alibaba-fc"):
        price_sheet("somewhere")
    assert SHEET.source
    assert SHEET.date
