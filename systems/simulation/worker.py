"""An instance in virtual time: one task at a time; a new batch starts between two decode steps."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from .clock import Clock, Job, Shared
from .latency_model import LatencyModel


@dataclass(slots=True)
class Work:
    """A request inside an instance; times are filled in during the simulation."""

    id: int
    prompt_tokens: int
    output_tokens: int
    left: int = 0
    prefill_ns: int = 0
    first_ns: int = 0
    last_ns: int = 0


@dataclass(slots=True, eq=False)
class Worker:
    """Callbacks: ``prefilled`` gets a batch's number when it has its first tokens, ``finished`` a
    request's id when it has its last token."""

    clock: Clock
    compute: Shared
    latency: LatencyModel
    prefilled: Callable[[int], None]
    finished: Callable[[int], None]
    extra_ns: float = 0.0
    """Additional time of the next batch."""
    batches: deque[tuple[int, list[Work]]] = field(default_factory=deque)
    decoding: dict[int, Work] = field(default_factory=dict)
    job: Job | None = None
    dead: bool = False
    _steps: int = 0
    _step_ns: float = 0.0
    _decoding_now: bool = False

    def run(self, batch: int, requests: list[Work]) -> None:
        """Prefill ``requests`` as soon as the current step ends."""
        self.batches.append((batch, requests))
        if self.job is None:
            self._next()
        elif self._decoding_now and self._steps > 1:
            self._finish_step()

    def forget(self, request: int) -> None:
        """Stop generating for ``request``."""
        self.decoding.pop(request, None)
        for _, requests in self.batches:
            requests[:] = [work for work in requests if work.id != request]

    def die(self) -> None:
        self.dead = True
        if self.job is not None:
            self.compute.cancel(self.job)
            self.job = None

    def _next(self) -> None:
        self.job = None
        if self.dead:
            return
        if self.batches:
            self._decoding_now = False
            batch, requests = self.batches.popleft()
            start = self.clock.now
            for work in requests:
                work.prefill_ns = start
            tokens = sum(work.prompt_tokens for work in requests)
            duration = self.latency.prefill_ns(len(requests), tokens) + self.extra_ns
            self.extra_ns = 0.0
            self.job = self.compute.start(duration, lambda: self._prefill_done(batch, requests))
        elif self.decoding:
            self._decoding_now = True
            self._steps = min(work.left for work in self.decoding.values())
            self._step_ns = self.latency.step_ns(len(self.decoding))
            self.job = self.compute.start(self._steps * self._step_ns, self._steps_done)

    def _prefill_done(self, batch: int, requests: list[Work]) -> None:
        now = self.clock.now
        self.job = None
        done: list[Work] = []
        for work in requests:
            work.first_ns = work.last_ns = now
            work.left = work.output_tokens - 1
            if work.left > 0:
                self.decoding[work.id] = work
            else:
                done.append(work)
        self._next()
        self.prefilled(batch)
        for work in done:
            self.finished(work.id)

    def _finish_step(self) -> None:
        """End decoding after the current step."""
        assert self.job is not None
        left_ns = self.compute.cancel(self.job)
        whole = math.floor(left_ns / self._step_ns + 1e-9)
        done = max(self._steps - whole, 1)
        rest_ns = left_ns - (self._steps - done) * self._step_ns
        self._steps = done
        self.job = self.compute.start(max(rest_ns, 0.0), self._steps_done)

    def _steps_done(self) -> None:
        now = self.clock.now
        self.job = None
        done: list[Work] = []
        for work in self.decoding.values():
            work.left -= self._steps
            work.last_ns = now
            if work.left <= 0:
                done.append(work)
        for work in done:
            del self.decoding[work.id]
        self._next()
        for work in done:
            self.finished(work.id)
