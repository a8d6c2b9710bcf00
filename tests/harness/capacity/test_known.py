"""A server whose capacity is known: one request at a time, each for the same time (M/D/1). Whatever
the arrivals, it serves one request per service time and no more; the search has to find that."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest

from harness.capacity import Limits, parse_goal
from harness.capacity.loads import Subject
from harness.capacity.point import Point, point_of
from harness.capacity.result import Capacity
from harness.choices import SystemChoice, WorkloadChoice
from harness.records.schema import REQUESTS, empty
from workloads.streams import stream

REQUESTS_OF_A_CELL = 10_000
SERVICE_S = 0.05
OWN_RATE = 4.0
KNOWN = 1 / SERVICE_S / OWN_RATE
"""The load, a factor of the workload's own rate, at which a request comes per service time."""
GOAL = parse_goal(f"ttft_s.p95 <= {100 * SERVICE_S}")
"""A queue of a hundred: far beyond what builds up below the capacity, soon reached above it."""


def served(due_s: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """When each of the requests, in their order, has been served: it starts when it has come and
    the one before has ended (Lindley's recursion, as a running maximum)."""
    before = np.arange(len(due_s)) * SERVICE_S
    return np.asarray(np.maximum.accumulate(due_s - before) + before + SERVICE_S)


def cell(load: float, seed: int) -> Any:
    gaps = stream(seed, "known", "arrivals").exponential(1 / OWN_RATE, REQUESTS_OF_A_CELL)
    due_s = np.cumsum(gaps) / load
    end_ns = np.rint(served(due_s) * 1e9).astype(np.int64)
    due_ns = np.rint(due_s * 1e9).astype(np.int64)
    columns: dict[str, Any] = {
        "request_id": np.arange(REQUESTS_OF_A_CELL), "scheduled_ns": due_ns, "sent_ns": due_ns,
        "first_token_ns": end_ns, "last_token_ns": end_ns, "end_ns": end_ns,
        "output_tokens": np.ones(REQUESTS_OF_A_CELL), "status": ["ok"] * REQUESTS_OF_A_CELL,
    }  # fmt: skip
    requests = pa.table(
        [
            pa.array(columns[field.name], field.type)
            if field.name in columns
            else pa.nulls(REQUESTS_OF_A_CELL, field.type)
            for field in REQUESTS
        ],
        schema=REQUESTS,
    )
    tables = {"requests": requests, **{n: empty(n) for n in ("spans", "memory", "billing")}}
    return SimpleNamespace(
        table=tables.__getitem__,
        summary={"duration_s": float(end_ns[-1] / 1e9)},
        manifest=SimpleNamespace(problems=()),
    )


def point(load: float, seed: int) -> Point:
    return point_of(load, cast("Any", [cell(load, seed)]), [GOAL], 0.99)


def test_the_capacity_of_a_known_server_is_found_within_5_percent_in_20_seeds() -> None:
    subject = Subject(SystemChoice(name="reference"), WorkloadChoice(name="known"))
    limits = Limits(tolerance=0.02, checks=False)
    for seed in range(20):
        found = Capacity(subject, {}, limits)
        while (load := found.next_load) is not None:
            found = found.with_point(point(load, seed))
        low, high = found.bracket.feasible_max, found.bracket.infeasible_min
        assert low is not None, f"seed {seed}: {found.why}"
        assert high is not None, f"seed {seed}: {found.why}"
        assert 0.95 * KNOWN <= low < high <= 1.05 * KNOWN, f"seed {seed}: {low} to {high}"
        assert found.best is not None
        assert found.best.requests_per_s == pytest.approx(1 / SERVICE_S, rel=0.05)
        assert len(found.points) <= 12
