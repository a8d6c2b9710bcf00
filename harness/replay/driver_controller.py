"""The controller of a replay: starts the load workers together and waits until all have ended."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import gevent
import msgspec
from gevent.event import Event
from locust.env import Environment

from .messages import (
    Advanced,
    Done,
    DriverMessage,
    Lost,
    Recent,
    StartAt,
    Started,
    WorkerCounts,
    WorkerDone,
    WorkerRecent,
    as_data,
)
from .plan import Plan
from .process import command, environment
from .share_senders import ShareSenders

_NS = 1_000_000_000
_CONNECT_S = 60.0
_STOP_S = 5.0
_COUNTS = ("done", "failed", "events")


class Controller:
    """Waits until every share is ready, sends one start time, and waits until all shares end."""

    def __init__(self, plan: Plan, env: Environment) -> None:
        self._plan, self._runner = plan, env.runner
        self._ready: set[int] = set()
        self._senders = ShareSenders(plan, self.lose)
        self._told: dict[int, WorkerCounts] = {}
        self._ended: dict[int, WorkerDone] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._lost: set[int] = set()
        self._all_ended = Event()
        self._started_ns = 0
        """This process's own processor time at the start of the run."""
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
        if not self._all_ended.is_set():
            self._runner.start(self._plan.workers, spawn_rate=self._plan.workers)
        self._all_ended.wait()
        cpu_ns = self._cpu_ns()
        self._runner.quit()
        _say(self._outcome(cpu_ns))
        for process in self._processes:
            if not self._started:
                process.terminate()  # It may not have reached the master, which told the others.
            _see_off(process)

    def _cpu_ns(self) -> int:
        # A local runner's own process is already counted with its share.
        return 0 if self._plan.solo else time.process_time_ns() - self._started_ns

    def _outcome(self, cpu_ns: int) -> Done:
        """Return the end of the run, in which no worker has both ended and is lost."""
        ended = [end for worker, end in self._ended.items() if worker not in self._lost]
        return Done(ended, len(self._lost), cpu_ns)

    def stop(self) -> None:
        self._runner.send_message("replay_stop")
        gevent.spawn_later(_STOP_S, self._all_ended.set)

    def _gather(self) -> None:
        """Start this host's workers and wait until Locust's master has connected to all."""
        for worker in range(self._plan.workers - self._plan.elsewhere):
            process = subprocess.Popen(
                command("driver", "worker"),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env=environment(),
            )
            self._processes.append(process)
            assert process.stdin is not None, "asked for a pipe"
            plan = self._plan.model_copy(update={"worker": worker})
            process.stdin.write(f"{plan.model_dump_json()}\n".encode())
            process.stdin.flush()
            gevent.spawn(self._watch, worker, process)
        deadline = time.monotonic() + _CONNECT_S
        while self._runner.worker_count < self._plan.workers and not self._all_ended.is_set():
            if time.monotonic() > deadline:
                sys.exit("replay: the load workers did not reach Locust's master")
            gevent.sleep(0.02)

    def heed(self, lines: Iterable[bytes]) -> None:
        """Read what the controlling process writes after the plan: a line per worker that another
        host has lost, which Locust's master does not detect by itself."""
        for line in lines:
            worker = msgspec.json.decode(line, type=Lost).worker
            _note(f"load worker {worker}, on another host, was lost")
            self.lose(worker)

    def _watch(self, worker: int, process: subprocess.Popen[bytes]) -> None:
        """Wait for a worker. If it fails, its share is lost, but a run that has started
        continues."""
        status = process.wait()
        # Otherwise its own last line has the reason, or it was ended here.
        if status < 0 and not self._all_ended.is_set():
            _note(f"load worker {worker} was ended by signal {-status}")
        if status != 0:
            self.lose(worker)

    def lose(self, worker: int | None) -> None:
        """Count a worker as lost, even if its share has ended. None: of a node that has reported no
        share; after the start such a node is none of the run's."""
        if worker is not None:
            self._lost.add(worker)
        self._check_ended()

    @property
    def _started(self) -> bool:
        return len(self._ready) == self._plan.workers

    def _on_ready(self, msg: Any, **_: Any) -> None:
        counts = self._senders.read(msg, WorkerCounts)
        if counts is None or counts.worker in self._ready or self._all_ended.is_set():
            return
        self._ready.add(counts.worker)
        if self._started:
            self._started_ns = time.process_time_ns()
            start_ns = time.monotonic_ns() + int(self._plan.lead_s * _NS)
            _say(Started(start_ns))
            self._runner.send_message("replay_start", as_data(StartAt(start_ns)))

    def _on_progress(self, msg: Any, **_: Any) -> None:
        self._tell(self._senders.read(msg, WorkerCounts))

    def _on_recent(self, msg: Any, **_: Any) -> None:
        recent = self._senders.read(msg, WorkerRecent)
        if recent is not None:
            _say(Recent(recent.requests))

    def _on_done(self, msg: Any, **_: Any) -> None:
        ended = self._senders.read(msg, WorkerDone)
        self._tell(ended)
        if ended is not None:
            self._ended[ended.worker] = ended
            self._check_ended()

    def _tell(self, counts: WorkerCounts | None) -> None:
        if counts is not None:
            self._told[counts.worker] = counts
            told = self._told.values()
            _say(Advanced(*(sum(getattr(each, name) for each in told) for name in _COUNTS)))

    def _check_ended(self) -> None:
        # A run cannot start without a share that has ended or is lost before.
        if not self._started or len(self._ended.keys() | self._lost) == self._plan.workers:
            self._all_ended.set()


def _see_off(process: subprocess.Popen[bytes]) -> None:
    """Wait for a worker's end, then kill it: one that missed the end would wait for heartbeats."""
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _note(what: str) -> None:
    """Write a line to the log, whose last one tells why a run did not start."""
    print(f"replay: {what}", file=sys.stderr)


def _say(message: DriverMessage) -> None:
    """Tell the controlling process. If that was killed, the shares still end."""
    with suppress(BrokenPipeError):
        print(msgspec.json.encode(message).decode(), flush=True)
