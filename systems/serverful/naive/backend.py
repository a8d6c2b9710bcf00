"""One request after another, each on the only worker thread: behind the HTTP surface that all our
systems have."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from systems.runtime.calls import Call, Failure, Tokens

from .launch import Launch

Generate = Callable[[Any, Call, Callable[[Tokens], None], Callable[[], bool]], None]


class Sequential:
    """Serves the HTTP API's requests with ``model``. Runs in the event loop."""

    def __init__(self, plan: Launch, model: Any, generate: Generate) -> None:
        self.plan = plan
        self._model, self._generate = model, generate
        self._worker = ThreadPoolExecutor(1, "generate")
        self._ids = itertools.count()
        self._live: set[int] = set()
        """Requests that somebody waits for. The worker only looks."""
        self._loop = asyncio.get_running_loop()

    def submit(self, **fields: Any) -> Call:
        """Queue a request. Its tokens, or a failure, arrive on ``call.answers``."""
        call = Call(next(self._ids), **fields)
        limit_s = self.plan.deployment.limits.request_timeout_s
        call.deadline = self._loop.call_later(limit_s, self._time_out, call, limit_s)
        self._live.add(call.id)
        self._worker.submit(self._run, call)
        return call

    def abandon(self, call: Call) -> None:
        self._live.discard(call.id)

    def answered(self, call: Call, responded_ns: int | None) -> None:  # noqa: ARG002
        if call.deadline is not None:
            call.deadline.cancel()

    def _time_out(self, call: Call, limit_s: float) -> None:
        call.answers.put(Failure(504, f"no answer within request_timeout_s={limit_s:g}"))

    def _run(self, call: Call) -> None:
        """On the worker's thread."""
        if call.id not in self._live:
            return

        def say(item: Tokens | Failure) -> None:
            self._loop.call_soon_threadsafe(call.answers.put, item)

        try:
            self._generate(self._model, call, say, lambda: call.id not in self._live)
        except Exception as error:
            say(Failure(500, f"the model failed: {type(error).__name__}"))
            raise
