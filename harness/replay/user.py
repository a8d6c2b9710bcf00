"""The Locust user of a load worker: runs its sender, decodes the exchanges, reports to Locust.

Imported under gevent, in a driver process only.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from typing import Any

from gevent.event import AsyncResult, Event
from locust import User, task
from locust.exception import StopUser

from .decode import decode
from .frames import (
    Captured,
    Finished,
    Loaded,
    Message,
    Ready,
    Settings,
    Start,
    pack,
    read,
)
from .messages import Ended, OfWorker, WorkerCounts, WorkerDone, WorkerRecent, as_data
from .plan import Plan
from .process import command, environment
from .records import PartWriter, Record
from .requests import batches
from .schedule import Schedule
from .target import Router

_NS_PER_MS = 1e6
_TELL_EVERY_S = 0.25
_YIELD_TO_SENDER = 5
"""Niceness: decoding can wait, sending and timestamping cannot."""


class RequestFailedError(Exception):
    """A failed request on Locust's page. Its text is the status, which groups equal failures."""


class Share:
    """One worker's part of the schedule. ``say(kind, data)`` sends a message to Locust's
    controller; ``events`` are Locust's."""

    def __init__(
        self, plan: Plan, worker: int, events: Any, say: Callable[[str, dict[str, Any]], None]
    ) -> None:
        self._plan, self._worker, self._events, self._say = plan, worker, events, say
        self._functions: list[str] = []
        self._sender: subprocess.Popen[bytes] | None = None
        self._start_ns = self._cpu_ns = 0
        self._done_count = self._failed = self._stream_events = 0
        self._told = 0.0
        self._recent: list[Ended] = []
        self._stopped = False
        self.ended = Event()

    def run(self) -> None:
        """Start the sender and record exchanges until it finishes or dies."""
        finished: Finished | None = None
        try:
            if not self._stopped:
                sender = self._spawn()
                self._load()
                finished = self._record(sender.stdout)
        finally:
            self.stop()
            self._tell_recent()
            self._tell("replay_done", self._done(finished))
            self.ended.set()

    def start(self, start_ns: int) -> None:
        """Send the run's absolute start time, the same for all workers, to the sender."""
        self._start_ns, self._cpu_ns = start_ns, time.process_time_ns()
        self._order(Start(start_ns))

    def stop(self) -> None:
        """Stop early: the sender ends the exchanges in progress and reports them as interrupted."""
        self._stopped = True
        if self._sender is not None and self._sender.stdin is not None:
            with contextlib.suppress(OSError):
                self._sender.stdin.close()

    def _spawn(self) -> subprocess.Popen[bytes]:
        self._sender = subprocess.Popen(
            command("sender"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
        )
        os.setpriority(os.PRIO_PROCESS, 0, _YIELD_TO_SENDER)
        return self._sender

    def _load(self) -> None:
        """Send the encoded requests to the sender."""
        plan = self._plan
        schedule, router = Schedule.read(plan.schedule), Router(plan.base_url, plan.routes)
        self._functions = schedule.table["function_id"].to_pylist()
        starts_ns = plan.user_starts_ns(self._worker)
        self._order(Settings(router.base_urls, plan.timeout_s, starts_ns, plan.think_ns))
        for batch in batches(schedule, self._worker, plan.workers, router, plan.headers, plan.form):
            self._order(batch)
        self._order(Loaded())

    def _order(self, message: Message) -> None:
        assert self._sender is not None, "orders follow run()"
        assert self._sender.stdin is not None, "asked for a pipe"
        # If the sender has died, the end of its output shows it.
        with contextlib.suppress(OSError, ValueError):
            self._sender.stdin.write(pack(message))
            self._sender.stdin.flush()

    def _record(self, stream: Any) -> Finished | None:
        with PartWriter(self._plan.part(self._worker)) as part:
            while True:
                message = read(stream)
                if isinstance(message, Captured):
                    record = decode(message, self._start_ns)
                    part.add(record)
                    self._count(message, record)
                elif isinstance(message, Ready):
                    self._tell("replay_ready", self._counts())
                else:
                    return message if isinstance(message, Finished) else None

    def _count(self, captured: Captured, record: Record) -> None:
        self._done_count += 1
        self._failed += record.status != "ok"
        self._stream_events += record.events
        self._recent.append(_ended(record))
        self._events.request.fire(
            request_type="POST",
            name=self._functions[record.row],
            response_time=(captured.end_ns - captured.sent_ns) / _NS_PER_MS,
            response_length=sum(map(len, captured.chunks)),
            exception=None if record.status == "ok" else RequestFailedError(record.status),
            context={"record": record},
        )
        if time.monotonic() - self._told > _TELL_EVERY_S:
            self._tell_recent()
            self._tell("replay_progress", self._counts())

    def _counts(self) -> WorkerCounts:
        return WorkerCounts(self._worker, self._done_count, self._failed, self._stream_events)

    def _done(self, finished: Finished | None) -> WorkerDone:
        return WorkerDone(
            self._worker,
            self._done_count,
            self._failed,
            self._stream_events,
            cpu_ns=time.process_time_ns() - self._cpu_ns if self._start_ns else 0,
            sender_cpu_ns=finished.cpu_ns if finished else 0,
            lags_ns=list(finished.read_lags_ns) if finished else [],
            complete=finished is not None,
        )

    def _tell_recent(self) -> None:
        recent, self._recent = self._recent, []
        self._tell("replay_recent", WorkerRecent(self._worker, recent))

    def _tell(self, kind: str, message: OfWorker) -> None:
        self._told = time.monotonic()
        self._say(kind, as_data(message))


def _ended(record: Record) -> Ended:
    first, last, sent, due = (
        record.first_token_ns, record.last_token_ns, record.sent_ns, record.due_ns,
    )  # fmt: skip
    tokens = record.output_tokens
    several = first is not None and last is not None and tokens is not None and tokens > 1
    return Ended(
        record.row,
        record.status,
        None if first is None or sent is None else first - sent,
        (last - first) // (tokens - 1) if several else None,  # type: ignore[operator]
        None if sent is None or due is None else sent - due,
    )


class ReplayUser(User):  # type: ignore[misc]
    """One user per worker. Locust starts and stops it; it leaves as soon as its share is done."""

    share: AsyncResult = AsyncResult()
    """Awaited, because Locust may start a user before the process has created its share."""

    taken = False
    """A share is sent once, even if a user is added on Locust's page."""

    @task  # type: ignore[untyped-decorator]
    def replay(self) -> None:
        if not type(self).taken:
            type(self).taken = True
            self.share.get().run()
        raise StopUser
