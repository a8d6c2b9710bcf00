"""An instance in virtual time: one task at a time; a new batch starts between two decode steps, and
the running requests decode a step between two pieces of its prompts, or in the same pass."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from systems.engine.cuda.buckets import LONGEST_PIECE

from .clock import Clock, Job, Shared
from .draws import Draws
from .latency_model import LatencyModel
from .preparer import Preparer
from .regimes import CONTINUOUS, Regime
from .work import Prefill, Work, adapters


@dataclass(slots=True, eq=False)
class Worker:
    """Callbacks: ``prefilled`` gets a batch's number when it has its first tokens, and for how many
    ns its prompts were computed; ``finished`` a request's id when it has its last token; ``begun``
    a batch's number when its prompts begin.
    ``piece_tokens``: the most prompt tokens between two steps of running requests; None: whole
    batches. ``regime``: if no batch joins others, the rows of a batch stay until its last token."""

    clock: Clock
    compute: Shared
    latency: LatencyModel
    prefilled: Callable[[int, int], None]
    finished: Callable[[int], None]
    piece_tokens: int | None = None
    draws: Draws = field(default_factory=Draws)
    regime: Regime = CONTINUOUS
    extra_ns: float = 0.0
    """Additional time of the next batch."""
    begun: Callable[[int], None] = lambda _: None
    back_to_back: bool = False
    """Whether a batch that comes during another begins before the next decode step."""
    mixes: bool = False
    """Whether running requests get a token in passes over prompts."""
    preparer: Preparer | None = None
    """Of an engine with shapes: prepares them while this is idle."""
    paused: bool = False
    """Whether it decodes no further while others compute prompts."""
    batches: deque[tuple[int, list[Work]]] = field(default_factory=deque)
    decoding: dict[int, Work] = field(default_factory=dict)
    job: Job | None = None
    _pauses: int = 0
    _steps: int = 0
    _step_ns: float = 0.0
    _hidden: float = 0.0
    """The part of a step that batches of other processes do not share with it."""
    _decoding_now: bool = False
    _prefill: Prefill | None = None
    _awaited: bool = False
    """The batch whose prompts are computed began instead of a decode step."""

    def run(self, batch: int, requests: list[Work]) -> None:
        """Prefill ``requests`` as soon as the current step ends, with those of the same batch that
        wait for that too."""
        for number, waiting in self.batches:
            if number == batch:
                waiting += requests
                return
        self.batches.append((batch, requests))
        if self.job is None:
            self.interrupt(self._next)
        elif self._decoding_now and self._steps > 1:
            self._finish_step()

    def interrupt(self, then: Callable[[], object]) -> None:
        """Call ``then`` as soon as the idle process is not preparing."""
        if self.preparer is None:
            then()
        else:
            self.preparer.busy(then)

    def forget(self, request: int) -> None:
        """Stop generating for ``request``. A batch of which none is left is still reported in its
        turn, as by an instance's process: the controller awaits that."""
        self.decoding.pop(request, None)
        if self._prefill is not None:
            self._prefill.forget(request)
        for _, requests in self.batches:
            requests[:] = [work for work in requests if work.id != request]

    def pause(self, most_ns: int) -> None:
        """Decode no further than the current step, until :meth:`resume` or for ``most_ns``."""
        self.paused = True
        self._pauses = pauses = self._pauses + 1
        if self._decoding_now and self._steps > 1 and self.job is not None:
            self._finish_step()
        self.clock.at(self.clock.now + most_ns, lambda: self._over(pauses))

    def resume(self) -> None:
        self.paused = False
        if self.job is None and self.decoding:
            self._next()

    def _over(self, pauses: int) -> None:
        """End a pause that was not ended before."""
        if self.paused and pauses == self._pauses:
            self.resume()

    def rest(self) -> None:
        """Prepare shapes, unless there is work."""
        if self.job is None and self.preparer is not None:
            self.preparer.idle()

    def drop_engine(self) -> None:
        if self.preparer is not None:
            self.preparer.end()
            self.preparer = None

    def _next(self) -> None:
        self.job = None
        if self._prefill is None and self.batches:
            self._prefill = self._begin(*self.batches.popleft())
        stepped, self._decoding_now = self._decoding_now, False
        decodes = bool(self.decoding) and not self.paused
        if self._prefill is not None and (stepped or not self._prefill.begun or not decodes):
            self._compute(self._prefill, beside=self.mixes and decodes)
        elif self.decoding:
            if decodes:
                self._decode()
        else:
            self.rest()

    def _compute(self, prefill: Prefill, *, beside: bool) -> None:
        """Compute the next piece; ``beside``: with a token of each running request, if the engine
        has that pass: not of later pieces of a prompt."""
        if prefill.complete:  # its requests were given up
            self.job = self.compute.start(0.0, partial(self._prefill_done, prefill))
            return
        most = self.piece_tokens or LONGEST_PIECE
        more_ns = self._beside_ns(prefill.next_tokens(most)) if beside and prefill.whole else None
        if more_ns is None:
            piece = prefill.take(self.piece_tokens if self.decoding else None)
        else:
            piece = prefill.take(most)
            self._decoding_now, self._steps, self._awaited = True, 1, False
        of = piece.requests
        duration = self.latency.prompts_ns(piece.passes, adapters(of)) + self.extra_ns
        duration *= self.draws.factor(self.latency.profile.prefill_s, "prefill", str(of[0].id))
        self.extra_ns = 0.0
        if more_ns is not None:
            duration += more_ns
        elif self.preparer is not None:
            duration += self.preparer.shapes.prompts_ns(piece.passes)
        self.job = self.compute.start(duration, partial(self._computed, prefill, self.clock.now))

    def _beside_ns(self, tokens: int) -> float | None:
        """Return what a token of each running request adds to a pass over so many of prompts; None:
        they are computed apart."""
        running, shape_ns = self.decoding.values(), 0.0
        if self.preparer is not None:
            found = self.preparer.shapes.mixed_ns(len(running), tokens)
            if found is None:
                return None
            shape_ns = found
        context = sum(work.context for work in running) + len(running)
        step_ns = self.latency.step_ns(len(running), adapters(running), context)
        return max(step_ns - self.latency.mixed_saved_ns(tokens), 0.0) + shape_ns

    def _decode(self) -> None:
        """Decode up to the end of a request, or one step between two pieces of prompts."""
        running = self.decoding.values()
        self._decoding_now, self._awaited = True, False
        self._steps = 1 if self._prefill else min([work.left for work in running if work.left > 0])
        stored = sum(work.context for work in running)
        context = stored + len(running) * (self._steps + 1) / 2
        self._step_ns = self.latency.step_ns(len(running), adapters(running), context)
        duration = self._steps * self._step_ns
        if self.preparer is not None:
            duration += self.preparer.shapes.steps_ns(len(running), self._steps)
        self._hidden = self.latency.hidden_ns(len(running)) * self._steps / duration
        self.job = self.compute.start(duration, self._steps_done, self._hidden)

    def _begin(self, batch: int, requests: list[Work]) -> Prefill:
        for work in requests:
            work.prefill_ns = self.clock.now
        self.begun(batch)
        return Prefill(batch, requests, pads=self.latency.pads)

    def _computed(self, prefill: Prefill, began_ns: int) -> None:
        prefill.computed_ns += self.clock.now - began_ns
        if self._decoding_now:
            self._stepped()
        if prefill.complete:
            self._prefill_done(prefill)
            return
        done = self._leaving()
        self._next()
        for work in done:
            self.finished(work.id)

    def _prefill_done(self, prefill: Prefill) -> None:
        now = self.clock.now
        self.job = self._prefill = None
        for work in prefill.requests:
            work.first_ns = work.last_ns = now
            work.left = work.output_tokens - 1
            self.decoding[work.id] = work
        done = self._leaving()
        self._await_next(prefill)
        for work in done:
            self.finished(work.id)

    def _await_next(self, prefill: Prefill) -> None:
        """Report a batch. Where batches may be back to back, one that runs in answer begins before
        the next decode step, unless this one did too (``live/instance_batches.py``)."""
        self._awaited = awaits = self.back_to_back and bool(self.decoding) and not self._awaited
        if not awaits:
            self._next()
        self.prefilled(prefill.batch, prefill.computed_ns)
        if awaits and self.job is None:
            self._next()

    def _finish_step(self) -> None:
        """End decoding after the current step."""
        assert self.job is not None
        left_ns = self.compute.cancel(self.job)
        whole = math.floor(left_ns / self._step_ns + 1e-9)
        done = max(self._steps - whole, 1)
        rest_ns = left_ns - (self._steps - done) * self._step_ns
        self._steps = done
        self.job = self.compute.start(max(rest_ns, 0.0), self._steps_done, self._hidden)

    def _stepped(self) -> None:
        """Record the tokens of the steps that ended."""
        for work in self.decoding.values():
            if work.left > 0:
                work.left -= self._steps
                work.last_ns = self.clock.now

    def _steps_done(self) -> None:
        self.job = None
        self._stepped()
        done = self._leaving()
        self._next()
        for work in done:
            self.finished(work.id)

    def _leaving(self) -> list[Work]:
        """Remove and return what leaves: requests with their last token, or all at once."""
        over = [work for work in self.decoding.values() if work.left <= 0]
        if not self.regime.joins and len(over) < len(self.decoding):
            return []
        for work in over:
            del self.decoding[work.id]
        return over
