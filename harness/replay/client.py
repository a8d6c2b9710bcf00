"""``replay``: sends a schedule to an endpoint from separate processes; returns the records."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from systems.interface import Route

from ..errors import HarnessError
from .free_port import check_free, free_port
from .hosts import LoadHost, LoadHosts
from .messages import Advanced, Done, Started, WorkerDone, read_line
from .plan import Plan
from .process import command, environment
from .records import client_table, read_part
from .schedule import Schedule
from .target import Router, Target

LATENESS_BUDGET_S = 0.010
"""Maximum p99 of the lateness, and of the reader's lag, of a valid run."""

_STOP_S = 10.0
_START_S = 120.0
"""Until every load worker is ready: one minute to connect, plus time on a loaded machine."""


class Progress(NamedTuple):
    """State of a run: requests that ended (successfully or not), failed ones, and all."""

    done: int
    failed: int
    total: int


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
    on_progress: Callable[[Progress], None] | None = None,
) -> ReplayResult:
    """Send ``schedule`` to ``base_url`` (functions in ``routes`` to their own server) and wait for
    every response, at most ``timeout_s`` each.

    Writes ``schedule.parquet``, ``client.parquet`` and Locust's log to ``out_dir``. The run starts
    ``lead_s`` after the last worker is ready. ``headers`` are added to every request. Workers of
    ``hosts`` run on other hosts and are included in ``workers``; the others run on ``cores``, if
    there are some. On ``KeyboardInterrupt`` the
    results so far are written, then it is raised again. Server errors go into the table. Raises
    :class:`HarnessError` if the client itself cannot run, or if ``web_port`` is in use.
    """
    for url in Router(base_url, routes or {}).base_urls:
        Target.parse(url)
    if web_port is not None:
        check_free(web_port)
    out_dir.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        schedule=out_dir / "schedule.parquet",
        base_url=base_url,
        out_dir=out_dir,
        workers=max(workers, hosts.count) if hosts else workers,
        elsewhere=hosts.count if hosts else 0,
        timeout_s=timeout_s,
        lead_s=lead_s,
        web_port=web_port,
        headers=headers or {},
        routes=routes or {},
        cores=tuple(cores),
    )
    if not plan.solo:
        plan = plan.model_copy(update={"master_port": free_port()})
    schedule.write(plan.schedule)
    length_s = max(schedule.table["scheduled_ns"].to_pylist(), default=0) / 1e9
    run = _Run(len(schedule), on_progress, lead_s + length_s + timeout_s + _STOP_S)
    seen: tuple[LoadHost, ...] = ()
    try:
        with _driver(plan) as process:
            if hosts is not None:
                hosts.begin(plan, lambda: _tell_lost(process))
            run.follow(process)
    finally:
        if hosts is not None:
            seen = hosts.collect()
        table = _collect(schedule, plan)
    if not run.started:
        raise HarnessError(f"replay: the load generator did not start: {_last_words(plan)}")
    return replace(run.result(table, schedule, lateness_budget_s), hosts=seen)


def _tell_lost(driver: subprocess.Popen[bytes]) -> None:
    """Signal a lost worker: Locust's master does not detect it by itself."""
    if driver.poll() is None:
        driver.send_signal(signal.SIGUSR1)


def _session(leader: int) -> list[psutil.Process]:
    """Return the live processes of the driver's session, even if the driver itself has ended."""
    return [process for process in psutil.process_iter() if _is_of(process, leader)]


def _is_of(process: psutil.Process, leader: int) -> bool:
    with suppress(ProcessLookupError, psutil.NoSuchProcess):
        if os.getsid(process.pid) == leader:
            return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=_STOP_S)


def _last_words(plan: Plan) -> str:
    lines = plan.log.read_text(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "its log is empty")


class _Run:
    """Follows the driver's messages until it ends. A driver that has not finished ``limit_s`` after
    the start of the run is killed, because a stopped process cannot report that it is stopped."""

    def __init__(
        self, total: int, on_progress: Callable[[Progress], None] | None, limit_s: float
    ) -> None:
        self._total, self._on_progress, self._limit_s = total, on_progress, limit_s
        self._start_ns: int | None = None
        self._end: Done | None = None

    def follow(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None, "asked for a pipe"
        limit = _limit(process, _START_S)
        try:
            for line in process.stdout:
                match _message(line):
                    case Started(start_ns):
                        limit.cancel()
                        limit = _limit(process, self._limit_s)
                        self._start_ns = start_ns
                    case Advanced(done, failed):
                        self._progress(done, failed)
                    case Done() as end:
                        self._end = end
        finally:
            limit.cancel()

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


def _message(line: bytes) -> Started | Advanced | Done:
    try:
        return read_line(line)
    except msgspec.DecodeError as error:
        raise HarnessError(
            f"replay: the load generator sent an invalid message: {error}"
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


@contextmanager
def _driver(plan: Plan) -> Iterator[subprocess.Popen[bytes]]:
    """Start the Locust process in its own session, so that Ctrl-C reaches this process first. On
    exit, end it and all its descendants."""
    role = "solo" if plan.solo else "master"
    with plan.log.open("wb") as log:
        process = subprocess.Popen(
            command("driver", role),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            env=environment(),
        )
    assert process.stdin is not None, "asked for a pipe"
    assert process.stdout is not None, "asked for a pipe"
    try:
        with suppress(BrokenPipeError):  # the process has ended; its log has the reason
            process.stdin.write(f"{plan.model_dump_json()}\n".encode())
            process.stdin.flush()
        yield process
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
    finally:
        _end(process)


def _limit(process: subprocess.Popen[bytes], seconds: float) -> threading.Timer:
    """Kill the driver's whole session after ``seconds``, stopped processes included."""
    timer = threading.Timer(seconds, lambda: _kill(_session(process.pid)))
    timer.daemon = True
    timer.start()
    return timer


def _end(process: subprocess.Popen[bytes]) -> None:
    """Terminate the driver, then kill it. The kernel terminates its children when it ends; stopped
    children do not react and are killed."""
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    below = _session(process.pid)
    _kill(psutil.wait_procs(below, timeout=_STOP_S if below else 0)[1])
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()
