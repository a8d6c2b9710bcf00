"""``replay``: sends a schedule to an endpoint from separate processes; returns the records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from systems.interface import Route

from ..errors import HarnessError
from .closed_loop import ClosedLoop
from .following import Following, Progress, Watcher
from .form import RequestForm
from .free_port import check_free, free_port
from .generator import STOP_S, LoadGenerator
from .hosts import LoadHost, LoadHosts
from .plan import Plan
from .records import client_table, read_part
from .result import LATENESS_BUDGET_S, ReplayResult, result_of
from .schedule import Schedule
from .target import Router, Target


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
    run = Following(len(schedule), on_progress, limit_s, watcher)
    table, seen = _drive(plan, schedule, run, generator, hosts)
    if run.start_ns is None:
        raise HarnessError(f"replay: the load generator did not start: {_last_words(plan)}")
    return result_of(schedule, table, run.start_ns, run.end, lateness_budget_s, seen)


def _drive(
    plan: Plan,
    schedule: Schedule,
    run: Following,
    generator: LoadGenerator | None,
    hosts: LoadHosts | None,
) -> tuple[pa.Table, tuple[LoadHost, ...]]:
    """Follow the run to its end; return the client's table and the other hosts that sent load."""
    seen: tuple[LoadHost, ...] = ()
    with ExitStack() as stack:
        own = generator or stack.enter_context(LoadGenerator(plan.out_dir, solo=plan.solo))
        try:
            own.send(plan)
            if hosts is not None:
                hosts.begin(plan, own.lose)
            run.follow(own.process)
        finally:
            if not run.done:
                own.end()  # Until then its workers may write.
            if hosts is not None:
                seen = hosts.collect()
            table = _collect(schedule, plan)
    return table, seen


def _longest_s(schedule: Schedule, loop: ClosedLoop | None, timeout_s: float) -> float:
    """Return the seconds after which every request has ended, however slow the answers are."""
    if loop is None:
        return schedule.duration_ns / 1e9 + timeout_s
    return loop.ramp_s + len(schedule) * (timeout_s + loop.think_s)


def _last_words(plan: Plan) -> str:
    lines = plan.log.read_text(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "its log is empty")


def _collect(schedule: Schedule, plan: Plan) -> pa.Table:
    """Join the workers' parts to the schedule, write the table, and delete the parts."""
    paths = [plan.part(worker) for worker in range(plan.workers)]
    why = "no load worker reported it: the replay ended early"
    table = client_table(schedule, [read_part(path) for path in paths], why)
    pq.write_table(table, plan.out_dir / "client.parquet", compression="zstd")
    for path in paths:
        path.unlink(missing_ok=True)
    return table
