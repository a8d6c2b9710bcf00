"""Rules 9, 10, 11, 14 and 15: the sources of times, counts, estimators, labels and bills."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from harness.cost import bill, price_sheet, request_costs
from harness.records import Cell
from paper_figures.style import caption
from systems.interface import Activity, MemoryOwner, MemoryStep
from tests.harness.test_request_costs import requests_of
from workloads.expansion import expand
from workloads.importers.dequantise import grid_ns, spread
from workloads.importers.parse import wall_clock
from workloads.minutes import MinuteCounts
from workloads.statistics import describe
from workloads.trace import TraceFunction, Workload

from .mutant import Mutant

S = 1_000_000_000

# -- 9: times ------------------------------------------------------------------------------------

Clock = Callable[[Sequence[str]], Sequence[int]]


def keeps_nanoseconds(read: Clock) -> None:
    texts = ["2024-05-10 00:00:00.100000001", "2024-05-10 00:00:00.100000002"]
    first, second = read(texts)
    assert second - first == 1


def ours(texts: Sequence[str]) -> Sequence[int]:
    found: Sequence[int] = np.asarray(wall_clock(pa.array(texts))[0]).tolist()
    return found


def by_float_seconds(texts: Sequence[str]) -> Sequence[int]:
    whole = np.array([np.datetime64(text, "s") for text in texts]).astype(float)
    parts = np.array([float("0." + text.partition(".")[2]) for text in texts])
    return [int(second * 1e9) for second in whole + parts]


Spread = Callable[[Any], Any]


def leaves_no_ties(spreading: Spread) -> None:
    times = np.repeat(np.arange(5) * 3 * S, 4)
    found = spreading(times)
    assert len(np.unique(found)) == len(times)
    assert (found // (3 * S) == times // (3 * S)).all(), "each stays in the cell it came from"


def by_the_rule(times: Any) -> Any:
    return spread(times, grid_ns(times), 0, "museum")


def as_they_come(times: Any) -> Any:
    return times


# -- 10: counts ----------------------------------------------------------------------------------

COUNTS = MinuteCounts("museum", (TraceFunction(id="f"),), {"f": np.array([3, 0, 40, 1])})
Expand = Callable[[MinuteCounts, int], Workload]


def keeps_each_minute_of_each_function(expand: Expand) -> None:
    for seed in range(5):
        times = expand(COUNTS, seed).arrivals_s("f")
        found = np.bincount((times // 60).astype(int), minlength=4)
        assert found.tolist() == COUNTS.counts["f"].tolist()


def by_rate_alone(minutes: MinuteCounts, seed: int) -> Workload:
    """Spread the same number of calls over the whole trace: keeps the mean rate, not the bursts."""
    total = int(minutes.counts["f"].sum())
    even = np.full(4, total // 4)
    return expand(MinuteCounts("museum", minutes.functions, {"f": even}), seed)


# -- 11: estimators ------------------------------------------------------------------------------

Document = Callable[[Workload], dict[str, Any]]


def names_the_estimator_of_its_cv(document: Document) -> None:
    found = document(expand(COUNTS, 0))
    assert "cv" in found
    assert "inter-arrival" in found.get("cv_estimator", "")


def by_number_alone(workload: Workload) -> dict[str, Any]:
    return {name: value for name, value in describe(workload).items() if "estimator" not in name}


# -- 14: labels ----------------------------------------------------------------------------------

Label = Callable[[Sequence[Cell], str], str]


def says_that_it_is_simulated(label: Label) -> None:
    about = {"mode": "simulated", "profile": {"name": "l40s"}, "run_id": "r", "valid": True}
    manifest = type("M", (), about)
    summary = {"n": 1, "ok": 1}
    about = {"manifest": manifest, "system": "s", "summary": summary}
    words = label([type("C", (), about)()], "")
    assert "simulated" in words
    assert "l40s" in words
    assert "not checked against live" in words


def by_run_alone(cells: Sequence[Cell], more: str) -> str:
    return f"run {cells[0].manifest.run_id}; {more}"


# -- 15: bills -----------------------------------------------------------------------------------

Costs = Callable[[pa.Table, pa.Table, pa.Table], tuple[dict[int, float], float]]


def sums_to_the_bill(costs_of: Costs) -> None:
    served = [(function, "gpu:0", 0.0, 2.0) for function in ("f0", "f1")]
    activity = [Activity(0, 2 * S, "gpu:0", "0", function) for function in ("f0", "f1")]
    shared = MemoryStep(0, "gpu:0", MemoryOwner.WEIGHTS, None, 13 * 10**9)
    sheet = price_sheet("alibaba-fc")
    billing = bill([shared], activity, {}, sheet, end_ns=4 * S, threads=1)
    costs, idle = costs_of(billing, *requests_of(served))
    total = sum(billing["usd"].to_pylist())
    assert abs(sum(costs.values()) + idle - total) <= 1e-3 * total


def each_pays_for_the_whole_copy(
    billing: pa.Table, requests: pa.Table, spans: pa.Table
) -> tuple[dict[int, float], float]:
    costs, idle = request_costs(billing, requests, spans)
    whole = sum(
        row["usd"]
        for row in billing.to_pylist()
        if row["function_id"] is None and row["resource"] == "gpu_memory_active"
    )
    return {request: usd + whole / 2 for request, usd in costs.items()}, idle


EXHIBITS = [
    Mutant(9, "times that lose their nanoseconds", keeps_nanoseconds, ours, by_float_seconds),
    Mutant(9, "arrivals that tie on the source's grid", leaves_no_ties, by_the_rule, as_they_come),
    Mutant(10, "counts expanded by their mean rate", keeps_each_minute_of_each_function,
     expand, by_rate_alone),
    Mutant(11, "a CV without its estimator", names_the_estimator_of_its_cv, describe,
     by_number_alone),
    Mutant(14, "simulated numbers without a label", says_that_it_is_simulated, caption,
     by_run_alone),
    Mutant(15, "a shared copy paid for by each of its users", sums_to_the_bill, request_costs,
     each_pays_for_the_whole_copy),
]  # fmt: skip
