"""The Locust process: local runner, master or worker, by the second argument.

  python -m harness.replay.driver PARENT solo|master|worker

Reads a plan from standard input. The controlling process writes its progress to standard output,
one JSON object per line.
"""

from __future__ import annotations

# Locust patches the standard library on import; later imports must see it patched.
import locust  # noqa: F401  # isort: skip

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from functools import cached_property
from typing import Any, TypeVar

import gevent
import msgspec
import pyarrow.parquet as pq
from gevent.event import Event
from locust.env import Environment

from systems.runtime.links.message import one_line

from .messages import (
    Advanced,
    Done,
    DriverMessage,
    OfWorker,
    Recent,
    StartAt,
    Started,
    WorkerCounts,
    WorkerDone,
    WorkerRecent,
    as_data,
    taken,
)
from .plan import Plan
from .process import command, end_with_parent, environment, pin
from .user import ReplayUser, Share

_HOST = "127.0.0.1"
_NS = 1_000_000_000
_CONNECT_S = 60.0
_STOP_S = 5.0

Counts = TypeVar("Counts", bound=OfWorker)


class Worker:
    """Gives the user class its share, and forwards the controller's messages to the share."""

    def __init__(self, plan: Plan, env: Environment) -> None:
        runner = env.runner
        self._offset_ns = plan.clock_offset_ns
        pin(plan.cores_of(runner.worker_index))
        self._share = Share(plan, runner.worker_index, env.events, runner.send_message)
        runner.register_message("replay_start", self._start)
        runner.register_message("replay_stop", lambda **_: self.stop())
        env.events.test_stopping.add_listener(lambda **_: self.stop())
        ReplayUser.share.set(self._share)
        self._runner = runner

    def leave(self) -> None:
        """Handle a termination signal, which the kernel also sends if the master dies. Stops the
        share; its results are reported if the master still runs, and written to disk in any case.
        """
        self.stop()
        gevent.spawn(self._quit)

    def _quit(self) -> None:
        self._share.ended.wait(_STOP_S)
        self._runner.quit()

    def stop(self) -> None:
        self._share.stop()

    def _start(self, msg: Any, **_: Any) -> None:
        self._share.start(taken(msg.data, StartAt).start_ns + self._offset_ns)


class Controller:
    """Waits until every share is ready, sends one start time, and waits until all shares end."""

    def __init__(self, plan: Plan, env: Environment) -> None:
        self._plan, self._runner = plan, env.runner
        self._ready = 0
        self._worker_of: dict[str, int] = {}
        """By Locust's node: the worker whose share it has."""
        self._refused: set[str] = set()
        self._told: dict[int, WorkerCounts] = {}
        self._ended: dict[int, WorkerDone] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._lost = 0
        self._all_ended = Event()
        self._cpu_ns = 0
        for kind, listener in (
            ("replay_ready", self._on_ready),
            ("replay_progress", self._on_progress),
            ("replay_recent", self._on_recent),
            ("replay_done", self._on_done),
        ):
            self._runner.register_message(kind, listener)

    def run(self) -> None:
        if not self._plan.solo:
            self._gather()
        self._runner.start(self._plan.workers, spawn_rate=self._plan.workers)
        self._all_ended.wait()
        self._runner.quit()
        _say(Done(list(self._ended.values()), self._lost, self._cpu_ns))
        for process in self._processes:
            _see_off(process)

    def stop(self) -> None:
        self._runner.send_message("replay_stop")
        gevent.spawn_later(_STOP_S, self._all_ended.set)

    def _gather(self) -> None:
        """Start this host's workers and wait until Locust's master has connected to all."""
        for _ in range(self._plan.workers - self._plan.elsewhere):
            process = subprocess.Popen(
                command("driver", "worker"),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env=environment(),
            )
            self._processes.append(process)
            assert process.stdin is not None, "asked for a pipe"
            process.stdin.write(f"{self._plan.model_dump_json()}\n".encode())
            process.stdin.flush()
            gevent.spawn(self._watch, process)
        deadline = time.monotonic() + _CONNECT_S
        while self._runner.worker_count < self._plan.workers and not self._all_ended.is_set():
            if time.monotonic() > deadline:
                sys.exit("replay: the load workers did not reach Locust's master")
            gevent.sleep(0.02)

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for a worker. If it fails, its share is lost, but the run continues."""
        if process.wait() != 0:
            self.lose()

    def lose(self) -> None:
        """Count a lost worker. For workers on other hosts, a signal calls this."""
        self._lost += 1
        self._check_ended()

    def _on_ready(self, msg: Any, **_: Any) -> None:
        if self._counts(msg, WorkerCounts) is None:
            return
        self._ready += 1
        if self._ready == self._plan.workers:
            self._cpu_ns = -time.process_time_ns()
            start_ns = time.monotonic_ns() + int(self._plan.lead_s * _NS)
            _say(Started(start_ns))
            self._runner.send_message("replay_start", as_data(StartAt(start_ns)))

    def _on_progress(self, msg: Any, **_: Any) -> None:
        self._tell(self._counts(msg, WorkerCounts))

    def _on_recent(self, msg: Any, **_: Any) -> None:
        recent = self._counts(msg, WorkerRecent)
        if recent is not None:
            _say(Recent(recent.requests))

    def _on_done(self, msg: Any, **_: Any) -> None:
        ended = self._counts(msg, WorkerDone)
        self._tell(ended)
        if ended is not None:
            self._ended[ended.worker] = ended
            self._check_ended()

    def _counts(self, msg: Any, expected: type[Counts]) -> Counts | None:
        """Check a worker's message: its form, and that it is about the share of its sender. None
        for one that is refused; its worker counts as lost."""
        try:
            found = taken(msg.data, expected)
            if found.worker not in self._shares_of(msg.node_id):
                raise ValueError(f"worker {found.worker} is not its share")
            self._check_rows(found)
        except ValueError as error:
            self._refuse(msg.node_id, error)
            return None
        self._worker_of[msg.node_id] = found.worker
        return None if msg.node_id in self._refused else found

    def _check_rows(self, found: OfWorker) -> None:
        """Raise ``ValueError`` if a worker reports requests that are not in its share."""
        rows = [each.row for each in found.requests] if isinstance(found, WorkerRecent) else []
        strange = [r for r in rows if r >= self._total or r % self._plan.workers != found.worker]
        if strange:
            raise ValueError(f"request {strange[0]} is not in its share")

    @cached_property
    def _total(self) -> int:
        """The number of requests of the schedule."""
        return int(pq.read_metadata(self._plan.schedule).num_rows)

    def _shares_of(self, node: str) -> Collection[int]:
        """Return the shares that a node may report: its own, or at first those of no other."""
        if node in self._worker_of:
            return (self._worker_of[node],)
        return set(range(self._plan.workers)) - set(self._worker_of.values())

    def _refuse(self, node: str, error: ValueError) -> None:
        if node not in self._refused:
            self._refused.add(node)
            why = one_line(error)
            print(f"replay: load worker {node} sent an invalid message: {why}", file=sys.stderr)
            self.lose()

    def _tell(self, counts: WorkerCounts | None) -> None:
        if counts is not None:
            self._told[counts.worker] = counts
            told = self._told.values()
            _say(Advanced(*(sum(getattr(each, name) for each in told) for name in _COUNTS)))

    def _check_ended(self) -> None:
        if self._ready < self._plan.workers:
            # Before the start, the loss of one worker would leave the others waiting forever.
            self._runner.send_message("replay_stop")
        if len(self._ended) + self._lost >= self._plan.workers:
            # A local runner's own process is already counted with its share.
            self._cpu_ns = self._cpu_ns + time.process_time_ns() if not self._plan.solo else 0
            self._all_ended.set()


_COUNTS = ("done", "failed", "events")


def _see_off(process: subprocess.Popen[bytes]) -> None:
    """Wait for a worker's end, then kill it: one that missed the end would wait for heartbeats."""
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _say(message: DriverMessage) -> None:
    print(msgspec.json.encode(message).decode(), flush=True)


def _solo(plan: Plan, env: Environment) -> None:
    env.create_local_runner()
    worker, controller = Worker(plan, env), Controller(plan, env)
    _on_signals(worker.stop)
    _with_page(plan, env, controller)


def _master(plan: Plan, env: Environment) -> None:
    env.create_master_runner(_HOST, plan.master_port)
    controller = Controller(plan, env)
    _on_signals(controller.stop)
    gevent.signal_handler(signal.SIGUSR1, controller.lose)
    _with_page(plan, env, controller)


def _worker(plan: Plan, env: Environment) -> None:
    runner = env.create_worker_runner(_HOST, plan.master_port)
    worker = Worker(plan, env)
    _on_signals(worker.leave)
    runner.greenlet.join()


def _with_page(plan: Plan, env: Environment, controller: Controller) -> None:
    page = env.create_web_ui(_HOST, plan.web_port) if plan.web_port else None
    try:
        controller.run()
    finally:
        if page is not None:
            page.stop()


def _on_signals(stop: Any) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stop)


_ROLES = {"solo": _solo, "master": _master, "worker": _worker}


def main() -> None:
    end_with_parent(int(sys.argv[1]))
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    plan = Plan.model_validate_json(sys.stdin.buffer.readline())
    env = Environment(user_classes=[ReplayUser], host=plan.base_url, stop_timeout=_STOP_S)
    _ROLES[sys.argv[2]](plan, env)


if __name__ == "__main__":
    main()
