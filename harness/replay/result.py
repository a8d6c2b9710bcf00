"""What a replay returns, and what makes a run invalid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from .hosts import LoadHost
from .messages import Done, WorkerDone
from .schedule import Schedule

LATENESS_BUDGET_S = 0.010
"""Maximum p99 of the lateness, and of the reader's lag, of a valid run."""


class Tail(NamedTuple):
    """Two percentiles of a delay, in nanoseconds; None if there are no samples."""

    p50_ns: float | None
    p99_ns: float | None

    @classmethod
    def of(cls, values: Any) -> Tail:
        if not len(values):
            return cls(None, None)
        p50, p99 = np.percentile(values, [50, 99])
        return cls(float(p50), float(p99))


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """``table`` has the columns of ``records.CLIENT_SCHEMA``, one row per request of the schedule.

    ``start_ns`` is on ``time.monotonic_ns`` and is the zero of every time in the table.
    ``lateness``: actual minus scheduled send time. ``read_lag``: delay of the reader's own timer,
    sampled at 100 Hz; a token's timestamp may be late by as much. ``cpu_us_per_event`` covers all
    client processes. A run with ``problems`` is invalid.
    """

    table: pa.Table
    start_ns: int
    schedule_sha256: str
    lateness: Tail
    read_lag: Tail
    cpu_us_per_event: float | None
    problems: tuple[str, ...]
    locust: str
    hosts: tuple[LoadHost, ...] = ()
    """Other hosts that sent load, with the error of their clocks."""

    @property
    def valid(self) -> bool:
        return not self.problems


def result_of(
    schedule: Schedule,
    table: pa.Table,
    start_ns: int,
    end: Done | None,
    budget_s: float,
    hosts: tuple[LoadHost, ...],
) -> ReplayResult:
    """Return the result of a run that started. ``end``: the driver's last message, None if it
    ended early."""
    ended = end.workers if end else []
    lateness = Tail.of(_lateness(table))
    read_lag = Tail.of(np.concatenate([np.zeros(0), *(each.lags_ns for each in ended)]))
    problems = [
        *overrun(lateness, "requests were sent", budget_s),
        *overrun(read_lag, "answers were read", budget_s),
        *_losses(end, table),
    ]
    return ReplayResult(
        table=table,
        start_ns=start_ns,
        schedule_sha256=schedule.sha256,
        lateness=lateness,
        read_lag=read_lag,
        cpu_us_per_event=_cpu_us_per_event(end, ended),
        problems=tuple(problems),
        locust=version("locust"),
        hosts=hosts,
    )


def _losses(end: Done | None, table: pa.Table) -> Iterator[str]:
    if end is None:
        yield "the load generator ended before it was done"
    else:
        lost = end.lost + sum(not worker.complete for worker in end.workers)
        if lost:
            yield f"{lost} load workers ended before they were done"
    unsent = sum(status == "unsent" for status in table["status"].to_pylist())
    if unsent:
        yield f"{unsent} of {table.num_rows} requests were not sent"


def _cpu_us_per_event(end: Done | None, ended: list[WorkerDone]) -> float | None:
    events = sum(each.events for each in ended)
    if not events or end is None:
        return None
    shares = sum(each.cpu_ns + each.sender_cpu_ns for each in ended)
    return float(end.cpu_ns + shares) / events / 1e3


def _lateness(table: pa.Table) -> Any:
    late = pa.compute.subtract(table["sent_ns"], table["scheduled_ns"])
    return late.drop_null().to_numpy()


def overrun(tail: Tail, what: str, budget_s: float) -> Iterator[str]:
    """Yield a problem if the p99 of a delay exceeds its budget."""
    if tail.p99_ns is not None and tail.p99_ns > budget_s * 1e9:
        yield (
            f"{what} late: p99 {tail.p99_ns / 1e6:.2f} ms, over the budget of"
            f" {budget_s * 1e3:g} ms; this client or machine was overloaded"
        )
