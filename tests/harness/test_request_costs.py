"""Every dollar of the bill is either assigned to a request or counted as idle."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cost import bill, bill_instances, instance_sheet, price_sheet, request_costs
from harness.errors import HarnessError
from harness.records.schema import REQUESTS, SPANS
from systems.interface import Activity, MemoryOwner, MemoryStep

SHEET = price_sheet("alibaba-fc")
S = 1_000_000_000
FUNCTIONS = ("f0", "f1")
DEVICES = ("gpu:0", "gpu:1")
GROUPS = {"t0@b": ("f0", "f1"), "t1@b": ("f2",)}


def requests_of(served: list[tuple[str, str, float, float]]) -> tuple[pa.Table, pa.Table]:
    """Make the tables of requests and spans. ``served``: function, device, start of prefill and
    end (s)."""
    count = len(served)
    columns: dict[str, Any] = {
        "request_id": range(count),
        "function_id": [each[0] for each in served],
        "device": [each[1] for each in served],
        "sent_ns": [round(each[2] * S) for each in served],
    }
    requests = pa.table(
        {f.name: pa.array(columns.get(f.name, [None] * count), f.type) for f in REQUESTS},
        schema=REQUESTS,
    )
    rows = []
    for index, (_, _, start, end) in enumerate(served):
        middle = (start + end) / 2
        rows.append((index, "queue", 0, round(start * S)))
        rows.append((index, "prefill", round(start * S), round(middle * S)))
        rows.append((index, "decode", round(middle * S), round(end * S)))
    arrays = list(zip(*rows, strict=True)) or [()] * 4
    return requests, pa.table(dict(zip(SPANS.names, arrays, strict=True)), schema=SPANS)


def observed(requests: pa.Table, spells: list[tuple[float, float] | None]) -> pa.Table:
    """Return ``requests`` with the times (s) from which and until which the system served each."""
    for column, name in enumerate(("placed_ns", "done_ns")):
        values = [None if spell is None else round(spell[column] * S) for spell in spells]
        index = requests.column_names.index(name)
        requests = requests.set_column(index, name, pa.array(values, pa.int64()))
    return requests


def step(function: str | None, t_s: float, gigabytes: float, device: str = "gpu:0") -> MemoryStep:
    size = round(gigabytes * 1e9)
    return MemoryStep(round(t_s * S), device, MemoryOwner.WEIGHTS, function, size)


def run(function: str, device: str, start_s: float, end_s: float) -> Activity:
    return Activity(round(start_s * S), round(end_s * S), device, "0", function)


def total(billing: pa.Table) -> float:
    return sum(billing["usd"].to_pylist())


def test_two_requests_at_once_share_and_one_alone_pays_alone() -> None:
    served = [("f0", "gpu:0", 0.0, 4.0), ("f0", "gpu:0", 2.0, 4.0)]
    billing = bill(
        [step("f0", 0, 1)], [run("f0", "gpu:0", 0, 4)], {}, SHEET, end_ns=4 * S, threads=1
    )
    costs, idle = request_costs(billing, *requests_of(served))
    assert idle == pytest.approx(0)
    assert costs[0] == pytest.approx(3 * costs[1])


def test_a_shared_backbone_is_paid_by_whoever_is_served_on_its_device() -> None:
    served = [("f0", "gpu:0", 0.0, 2.0), ("f1", "gpu:0", 0.0, 2.0), ("f1", "gpu:1", 0.0, 2.0)]
    activity = [run(function, device, start, end) for function, device, start, end in served]
    billing = bill([step(None, 0, 10)], activity, {}, SHEET, end_ns=4 * S, threads=1)
    costs, idle = request_costs(billing, *requests_of(served))
    assert costs[0] == pytest.approx(costs[1])
    assert costs[2] < costs[1], "the other device holds no copy"
    assert idle == pytest.approx(2 * 10 * SHEET.usd("gpu_memory_idle"))


def test_a_functions_own_cost_is_paid_by_no_neighbour_on_its_device() -> None:
    """Otherwise the others would pay for a tenant with a large adapter."""
    served = [("f0", "gpu:0", 0.0, 2.0), ("f1", "gpu:0", 0.0, 2.0)]
    activity = [run("f0", "gpu:0", 0, 2)]
    billing = bill([step("f0", 0, 1)], activity, {}, SHEET, end_ns=2 * S, threads=1)
    costs, idle = request_costs(billing, *requests_of(served))
    assert costs == {0: pytest.approx(total(billing)), 1: 0.0}
    assert idle == pytest.approx(0)


def test_a_groups_cost_is_paid_by_its_functions_alone() -> None:
    """A tenant's instances cost another one nothing, on the same device at the same time."""
    served = [(function, "gpu:0", 0.0, 2.0) for function in ("f0", "f1", "f2")]
    activity = [run("t0@b", "gpu:0", 0, 2)]
    billing = bill([step("t0@b", 0, 1)], activity, {}, SHEET, end_ns=2 * S, threads=1)
    costs, idle = request_costs(billing, *requests_of(served), GROUPS)
    half = pytest.approx(total(billing) / 2)
    assert costs == {0: half, 1: half, 2: 0.0}
    assert idle == pytest.approx(0)


def test_a_groups_memory_is_idle_while_only_others_run() -> None:
    activity = [run("t1@b", "gpu:0", 0, 3), run("t0@b", "gpu:0", 3, 4)]
    billing = bill([step("t0@b", 0, 1)], activity, {}, SHEET, end_ns=4 * S, threads=1)
    seconds = {row["resource"]: row["quantity"] for row in billing.to_pylist()}
    assert seconds["gpu_memory_idle"] == pytest.approx(3)
    assert seconds["gpu_memory_active"] == pytest.approx(1)


def test_a_group_that_is_billed_must_be_known() -> None:
    billing = bill([], [run("t0@b", "gpu:0", 0, 2)], {}, SHEET, end_ns=2 * S, threads=1)
    with pytest.raises(HarnessError, match="t0@b is a group of functions; give the groups"):
        request_costs(billing, *requests_of([("f0", "gpu:0", 0.0, 2.0)]))


def test_what_an_instance_says_of_time_moves_no_cost_to_its_neighbour() -> None:
    """f1 reports only a prefill of 1 ns, but both were on the device for 2 s."""
    requests, spans = requests_of([("f0", "gpu:0", 0.0, 2.0), ("f1", "gpu:0", 1.0, 1.0 + 1e-9)])
    requests = observed(requests, [(0, 2), (0, 2)])
    activity = [run(function, "gpu:0", 0, 2) for function in FUNCTIONS]
    billing = bill([step(None, 0, 10)], activity, {}, SHEET, end_ns=2 * S, threads=1)
    costs, _ = request_costs(billing, requests, spans)
    assert costs[1] == pytest.approx(costs[0])


def test_a_request_without_a_token_pays_for_as_long_as_it_was_served() -> None:
    """An instance that never answers reports no stages, but holds the device."""
    requests, spans = requests_of([("f0", "gpu:0", 0.0, 2.0), ("f1", "gpu:0", 0.0, 0.0)])
    requests = observed(requests, [None, (0, 2)])
    silent = spans.filter(pc.equal(spans["request_id"], 0))
    activity = [run(function, "gpu:0", 0, 2) for function in FUNCTIONS]
    billing = bill([step(None, 0, 10)], activity, {}, SHEET, end_ns=2 * S, threads=1)
    costs, _ = request_costs(billing, requests, silent)
    assert costs[1] == pytest.approx(costs[0])


def test_host_memory_has_a_price_of_its_own() -> None:
    billing = bill([step("f0", 0, 2, "host")], [], {}, SHEET, end_ns=5 * S, threads=1)
    (row,) = billing.to_pylist()
    assert row["resource"] == "host_memory"
    assert row["usd"] == pytest.approx(10 * 0.15 * SHEET.usd_per_cu)


def test_an_instance_is_paid_by_the_hour_and_by_whoever_is_served() -> None:
    sheet = instance_sheet("aws-p5-48xlarge")
    billing = bill_instances(9, sheet, end_ns=3600 * S)
    assert total(billing) == pytest.approx(9 / 8 * 55.04), "nine devices, eight per instance"
    served = [("f0", "gpu:0", 0.0, 900.0), ("f1", "gpu:1", 0.0, 1800.0)]
    costs, idle = request_costs(billing, *requests_of(served))
    assert idle == pytest.approx(total(billing) / 2), "no request was served for half of the hour"
    assert costs[1] == pytest.approx(3 * costs[0])


def test_a_sheet_of_the_other_kind_is_refused_in_one_line() -> None:
    with pytest.raises(HarnessError, match=r"alibaba-fc\.toml: "):
        instance_sheet("alibaba-fc")


seconds = st.floats(0, 50).map(lambda value: round(value, 3))
spells = st.tuples(st.sampled_from((*FUNCTIONS, "f2")), st.sampled_from(DEVICES), seconds, seconds)
busy_spells = st.tuples(
    st.sampled_from((*FUNCTIONS, *GROUPS)), st.sampled_from(DEVICES), seconds, seconds
)


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from([*FUNCTIONS, *GROUPS, None]),
            seconds,
            st.floats(0, 40),
            st.sampled_from([*DEVICES, "host"]),
        )
    ),
    busy=st.lists(busy_spells),
    served=st.lists(spells),
    calls=st.dictionaries(st.sampled_from(FUNCTIONS), st.integers(0, 9)),
)
def test_requests_and_idle_sum_to_the_bill(
    steps: list[tuple[str | None, float, float, str]],
    busy: list[tuple[str, str, float, float]],
    served: list[tuple[str, str, float, float]],
    calls: dict[str, int],
) -> None:
    activity = [run(f, d, min(a, b), max(a, b)) for f, d, a, b in busy]
    spells = [(f, d, min(a, b), max(a, b)) for f, d, a, b in served]
    billing = bill(
        [step(*each) for each in steps], activity, calls, SHEET, end_ns=60 * S, threads=2
    )
    costs, idle = request_costs(billing, *requests_of(spells), GROUPS)
    assert sum(costs.values()) + idle == pytest.approx(total(billing), rel=1e-9, abs=1e-15)
    assert min([idle, *costs.values()]) >= -1e-12
