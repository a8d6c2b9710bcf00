"""``replay``: sends a schedule to an endpoint from separate processes; returns the records."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from systems.interface import Route
from systems.runtime.links.message import one_line

from ..errors import HarnessError
from .closed_loop import ClosedLoop
from .form import RequestForm
from .free_port import check_free, free_port
from .generator import STOP_S, LoadGenerator, limit
from .hosts import LoadHost, LoadHosts
from .messages import Advanced, Done, Ended, Recent, Started, WorkerDone, read_line
from .plan import Plan
from .records import client_table, read_part
from .schedule import Schedule
from .target import Router, Target

LATENESS_BUDGET_S = 0.010
"""Maximum p99 of the lateness, and of the reader's lag, of a valid run."""

_START_S = 120.0
"""Until every load worker is ready: one minute to connect, plus time on a loaded machine."""


class Progress(NamedTuple):
    """State of a run: requests that ended (successfully or not), failed ones, and all."""

    done: int
    failed: int
    total: int


class Watcher(Protocol):
    """Follows a run while it goes."""

    def started(self, start_ns: int) -> None:
        """The run's start on ``time.monotonic_ns``; it may be a moment ahead."""

    def ended(self, requests: Sequence[Ended]) -> None:
        """Requests that have ended since the last call."""


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


def replay(
    schedule: Schedule,
    base_url: str,
    out_dir: Path,
    *,
    timeout_s: float,
    workers: int = 1,
    web_port: int | None = None,
    lead_s: float = 0.25,
    lateness_budget_s: float = LATENESS_BUDGET_S,
    headers: Mapping[str, str] | None = None,
    routes: Mapping[str, Route] | None = None,
    hosts: LoadHosts | None = None,
    cores: Sequence[int] = (),
    loop: ClosedLoop | None = None,
    form: RequestForm | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    watcher: Watcher | None = None,
    generator: LoadGenerator | None = None,
) -> ReplayResult:
    """Send ``schedule`` to ``base_url`` (functions in ``routes`` to their own server) and wait for
    every response, at most ``timeout_s`` each.

    Writes ``schedule.parquet``, ``client.parquet`` and Locust's log to ``out_dir``. The run starts
    ``lead_s`` after the last worker is ready. ``headers`` are added to every request. Workers of
    ``hosts`` run on other hosts and are included in ``workers``; the others run on ``cores``, if
    there are some. With a ``loop``, users send the requests in the schedule's order, each once it
    has its last answer. ``generator``: a process that was started for ``out_dir``, which ends by
    itself; None: one is started here. On ``KeyboardInterrupt`` the results so far are written, then
    it is raised again. Server errors go into the table. Raises :class:`HarnessError` if the client
    itself cannot run, or if ``web_port`` is in use.
    """
    for url in Router(base_url, routes or {}).base_urls:
        Target.parse(url)
    if web_port is not None:
        check_free(web_port)
    count = max(workers, hosts.count) if hosts else workers
    if loop is not None and loop.users < count:
        raise HarnessError(f"users: {loop.users} are too few for {count} load workers")
    out_dir.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        schedule=out_dir / "schedule.parquet",
        base_url=base_url,
        out_dir=out_dir,
        workers=count,
        elsewhere=hosts.count if hosts else 0,
        timeout_s=timeout_s,
        lead_s=lead_s,
        web_port=web_port,
        headers=headers or {},
        routes=routes or {},
        cores=tuple(cores),
        loop=loop,
        form=form or RequestForm(),
    )
    if not plan.solo:
        plan = plan.model_copy(update={"master_port": free_port()})
    schedule.write(plan.schedule)
    limit_s = lead_s + _longest_s(schedule, loop, timeout_s) + STOP_S
    run = _Run(len(schedule), on_progress, limit_s, watcher)
    seen: tuple[LoadHost, ...] = ()
    with ExitStack() as stack:
        own = generator or stack.enter_context(LoadGenerator(out_dir, solo=plan.solo))
        try:
            own.send(plan)
            if hosts is not None:
                hosts.begin(plan, lambda: _tell_lost(own.process))
            run.follow(own.process)
        finally:
            if not run.done:
                own.end()  # Until then its workers may write.
            if hosts is not None:
                seen = hosts.collect()
            table = _collect(schedule, plan)
    if not run.started:
        raise HarnessError(f"replay: the load generator did not start: {_last_words(plan)}")
    return replace(run.result(table, schedule, lateness_budget_s), hosts=seen)


def _longest_s(schedule: Schedule, loop: ClosedLoop | None, timeout_s: float) -> float:
    """Return the seconds after which every request has ended, however slow the answers are."""
    if loop is None:
        return schedule.duration_ns / 1e9 + timeout_s
    return loop.ramp_s + len(schedule) * (timeout_s + loop.think_s)


def _tell_lost(driver: subprocess.Popen[bytes]) -> None:
    """Signal a lost worker: Locust's master does not detect it by itself."""
    if driver.poll() is None:
        driver.send_signal(signal.SIGUSR1)


def _last_words(plan: Plan) -> str:
    lines = plan.log.read_text(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "its log is empty")


class _Run:
    """Follows the driver's messages until it ends. A driver that has not finished ``limit_s`` after
    the start of the run is killed, because a stopped process cannot report that it is stopped."""

    def __init__(
        self,
        total: int,
        on_progress: Callable[[Progress], None] | None,
        limit_s: float,
        watcher: Watcher | None = None,
    ) -> None:
        self._watcher = watcher
        self._total, self._on_progress, self._limit_s = total, on_progress, limit_s
        self._start_ns: int | None = None
        self._end: Done | None = None

    def follow(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None, "asked for a pipe"
        timer = limit(process, _START_S)
        try:
            for line in process.stdout:
                match _message(line):
                    case Started(start_ns):
                        timer.cancel()
                        timer = limit(process, self._limit_s)
                        self._start_ns = start_ns
                        if self._watcher is not None:
                            self._watcher.started(start_ns)
                    case Recent(requests):
                        if self._watcher is not None:
                            self._watcher.ended(requests)
                    case Advanced(done, failed):
                        self._progress(done, failed)
                    case Done() as end:
                        self._end = end
                        return
        finally:
            timer.cancel()

    @property
    def done(self) -> bool:
        """Whether every record is written."""
        return self._end is not None

    @property
    def started(self) -> bool:
        return self._start_ns is not None

    def _progress(self, done: int, failed: int) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(done, failed, self._total))

    def result(self, table: pa.Table, schedule: Schedule, budget_s: float) -> ReplayResult:
        assert self._start_ns is not None, "asked for the result of a run that started"
        ended = self._end.workers if self._end else []
        lateness = Tail.of(_lateness(table))
        read_lag = Tail.of(np.concatenate([np.zeros(0), *(end.lags_ns for end in ended)]))
        problems = [
            *overrun(lateness, "requests were sent", budget_s),
            *overrun(read_lag, "answers were read", budget_s),
            *self._losses(ended, table),
        ]
        return ReplayResult(
            table=table,
            start_ns=self._start_ns,
            schedule_sha256=schedule.sha256,
            lateness=lateness,
            read_lag=read_lag,
            cpu_us_per_event=self._cpu_us_per_event(ended),
            problems=tuple(problems),
            locust=version("locust"),
        )

    def _losses(self, ended: list[WorkerDone], table: pa.Table) -> Iterator[str]:
        if self._end is None:
            yield "the load generator ended before it was done"
        lost = (self._end.lost if self._end else 0) + sum(not end.complete for end in ended)
        if lost:
            yield f"{lost} load workers ended before they were done"
        unsent = sum(status == "unsent" for status in table["status"].to_pylist())
        if unsent:
            yield f"{unsent} of {self._total} requests were not sent"

    def _cpu_us_per_event(self, ended: list[WorkerDone]) -> float | None:
        events = sum(end.events for end in ended)
        if not events or self._end is None:
            return None
        shares = sum(end.cpu_ns + end.sender_cpu_ns for end in ended)
        return float(self._end.cpu_ns + shares) / events / 1e3


def _message(line: bytes) -> Started | Advanced | Recent | Done:
    try:
        return read_line(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise HarnessError(
            f"replay: the load generator sent an invalid message: {one_line(error)}"
        ) from error


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


def _collect(schedule: Schedule, plan: Plan) -> pa.Table:
    """Join the workers' parts to the schedule, write the table, and delete the parts."""
    paths = [plan.part(worker) for worker in range(plan.workers)]
    why = "no load worker reported it: the replay ended early"
    table = client_table(schedule, [read_part(path) for path in paths], why)
    pq.write_table(table, plan.out_dir / "client.parquet", compression="zstd")
    for path in paths:
        path.unlink(missing_ok=True)
    return table
