"""Simulates a cell and returns what a live cell gives: the client's table and the system trace."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import pyarrow as pa

from harness.replay.records import CLIENT_SCHEMA
from systems.interface import Deployment, SystemTrace
from systems.registry import system_class

if TYPE_CHECKING:
    from harness.replay import Schedule
    from harness.replay.closed_loop import ClosedLoop
    from systems.simulation.profile import Profile


class Outcome(Protocol):
    """The result of a system's simulation."""

    def seen(self, request: int) -> Mapping[str, Any]:
        """Return the client's view of a request, times in ns: columns of the client's table."""

    def system_trace(self) -> SystemTrace: ...

    def deciding(self) -> Mapping[str, float]:
        """Return the decision times on this machine."""


def simulate_cell(
    system: str,
    deployment: Deployment,
    schedule: Schedule,
    profile: Profile,
    adapter_rank: int,
    loop: ClosedLoop | None = None,
) -> tuple[pa.Table, SystemTrace]:
    """Run one cell. Times are relative to the run's start; the client is never late. ``loop``: of a
    closed load; None: it is open."""
    with _uncollected():
        return _simulated(system, deployment, schedule, profile, adapter_rank, loop)


def _simulated(
    system: str,
    deployment: Deployment,
    schedule: Schedule,
    profile: Profile,
    adapter_rank: int,
    loop: ClosedLoop | None,
) -> tuple[pa.Table, SystemTrace]:
    from systems.simulation.arrival import Arrival, ClosedLoad, OpenLoad

    columns = schedule.table
    lengths = pa.compute.list_value_length(columns["prompt_ids"]).to_pylist()
    arrivals = [
        Arrival(*row)
        for row in zip(
            columns["request_id"].to_pylist(),
            columns["scheduled_ns"].to_pylist(),
            columns["function_id"].to_pylist(),
            lengths,
            columns["output_tokens"].to_pylist(),
            strict=True,
        )
    ]
    load = ClosedLoad(arrivals, loop.starts_ns(), loop.think_ns) if loop else OpenLoad(arrivals)
    began = time.process_time()
    simulated = cast("Any", system_class(system)).simulate
    outcome: Outcome = simulated(deployment, profile, load, adapter_rank)
    system_trace = outcome.system_trace()
    took = {"simulation_s": time.process_time() - began, "peak_rss_bytes": _peak_rss_bytes()}
    system_trace = replace(
        system_trace, measured={**system_trace.measured, **outcome.deciding(), **took}
    )
    sent_ns = [load.sent_ns(arrival) for arrival in arrivals]
    return _client_table(schedule, lengths, sent_ns, outcome), system_trace


@contextmanager
def _uncollected() -> Iterator[None]:
    """Disable the cyclic garbage collector. It finds nothing here, and its passes over all objects
    would count as time of the decisions that they interrupt."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _peak_rss_bytes() -> int:
    """Return the peak of this process. Not ru_maxrss, which a process inherits from its parent."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _client_table(
    schedule: Schedule, lengths: list[int], sent_ns: list[int], outcome: Outcome
) -> pa.Table:
    plan = schedule.table
    count = len(schedule)
    seen = [outcome.seen(request) for request in plan["request_id"].to_pylist()]
    columns: dict[str, Any] = {
        "request_id": plan["request_id"],
        "scheduled_ns": sent_ns,
        "function_id": plan["function_id"],
        "wanted_output_tokens": plan["output_tokens"],
        "sent_ns": sent_ns,
        "prompt_tokens": lengths,
        "first_byte_ns": [each["first_token_ns"] for each in seen],
        "end_ns": [each["last_token_ns"] for each in seen],
        **{name: [each[name] for each in seen] for name in seen[0]},
    }
    arrays = {
        field.name: columns.get(field.name, pa.nulls(count, field.type)) for field in CLIENT_SCHEMA
    }
    return pa.table(arrays, schema=CLIENT_SCHEMA)
