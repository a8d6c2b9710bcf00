"""A replica in virtual time: runs the iterations of ``inhouse/replica.py``, with durations from the
profile."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

from systems.serverful.inhouse.batcher import Batcher, Choice, Queued
from systems.simulation.clock import Alone, Clock, Shared
from systems.simulation.decision_times import DecisionTimes
from systems.simulation.work import Work

from .latency import ReplicaLatencyModel

_AHEAD = 64
"""The most iterations that are computed at once: a message makes all after the present one void."""


class _Batch(NamedTuple):
    """What an iteration computes. ``adapters``: those of its requests; ``merged``: the weights
    contain the only one."""

    work: Sequence[Work]
    adapters: Set[str]
    merged: bool


class _Series(NamedTuple):
    """Iterations of the same batch, one after another, and when each of them ends."""

    batch: _Batch
    began_ns: int
    ends_ns: list[int]


Message = Callable[[], float]
"""Processed between two iterations; returns the ns by which it delays the next one."""


@dataclass(slots=True, eq=False)
class Replica:
    """Callbacks: ``stepped`` gets the requests of an iteration in which any received its first or
    last token, and its start time; ``switched`` gets the adapter now merged and the start time of
    the switch."""

    clock: Clock
    compute: Shared
    latency: ReplicaLatencyModel
    batcher: Batcher
    slots: int
    deciding: DecisionTimes
    stepped: Callable[[Sequence[Work], int], None]
    switched: Callable[[str | None, int], None]
    work: dict[int, Work] = field(default_factory=dict)
    merged: str | None = None
    _queue: dict[int, Queued] = field(default_factory=dict)
    _inbox: deque[Message] = field(default_factory=deque)
    _busy: bool = False
    _series: _Series | None = None

    def tell(self, message: Message) -> None:
        """Queue a message for the time before the next iteration; process it now if idle."""
        self._inbox.append(message)
        if not self._busy:
            self._turn()
        elif self._series is not None:
            self._cut(self._series)

    # -- messages ---------------------------------------------------------------------------

    def request(self, work: Work, adapter: str | None) -> float:
        """Queue a request; one that has its first token comes with its KV cache."""
        self.work[work.id] = work
        self._queue[work.id] = Queued(work.id, adapter, False)
        return self._move_ns(work)

    def hold(self) -> float:
        """Load an adapter."""
        return self.latency.hold_ns()

    def drop(self, adapter: str) -> float:
        """Remove an adapter, which must not be merged."""
        if adapter != self.merged:
            return 0.0
        self.merged = None
        return self.latency.switch_ns(adapter, None)

    def part(self, request: int, parted: Callable[[Work], None]) -> float:
        """Hand a request to ``parted``; nothing if it has ended."""
        if self._queue.pop(request, None) is None:
            return 0.0
        work = self.work.pop(request)
        parted(work)
        return self._move_ns(work)

    def _move_ns(self, work: Work) -> float:
        if not work.first_ns:
            return 0.0
        return self.latency.move_ns(work.prompt_tokens + work.output_tokens - work.left)

    def cancel(self, request: int) -> float:
        self._queue.pop(request, None)
        self.work.pop(request, None)
        return 0.0

    # -- iterations -------------------------------------------------------------------------

    def _turn(self) -> None:
        """Process the queued messages, then run what the batcher chooses."""
        self._busy = True
        lost_ns = 0.0
        while self._inbox:
            lost_ns += self._inbox.popleft()()
        if lost_ns:
            self.compute.start(lost_ns, self._turn)
        elif self._queue:
            self._iterate()
        else:
            self._busy = False

    def _iterate(self) -> None:
        queued = tuple(self._queue.values())
        running = sum(each.started for each in queued)
        choice = self.deciding.of(self.batcher.choose, queued, self.slots - running)
        if choice.merged == self.merged:
            self._run(choice)
            return
        switch_ns = self.latency.switch_ns(self.merged, choice.merged)
        self.merged = choice.merged
        self.compute.start(switch_ns, partial(self._switched, choice, self.clock.now))

    def _switched(self, choice: Choice, began_ns: int) -> None:
        self.switched(choice.merged, began_ns)
        self._run(choice)

    def _run(self, choice: Choice) -> None:
        """Prefill the chosen requests that have no first token; if all have, decode one step."""
        chosen = [self._queue[id_] for id_ in choice.ids]
        for each in chosen:
            if not each.started:
                self._queue[each.id] = replace(each, started=True)
        fresh = [each for each in chosen if not self.work[each.id].first_ns]
        of = fresh or chosen
        work = [self.work[each.id] for each in of]
        batch = _Batch(
            work, {each.adapter for each in of if each.adapter}, choice.merged is not None
        )
        if fresh:
            self._prefill(batch)
        else:
            self._decode(batch)

    def _prefill(self, batch: _Batch) -> None:
        tokens = [each.prompt_tokens for each in batch.work]
        takes_ns = self.latency.prefill_ns(tokens, batch.adapters, batch.merged)
        self.compute.start(takes_ns, partial(self._prefilled, batch, self.clock.now))

    def _prefilled(self, batch: _Batch, began_ns: int) -> None:
        for each in batch.work:
            each.prefill_ns, each.first_ns = began_ns, self.clock.now
            each.left = each.output_tokens
        self._advance(batch, 1)
        self.stepped(batch.work, began_ns)
        self._turn()

    def _decode(self, batch: _Batch) -> None:
        """Decode a step. A replica that shares its resource with no other decodes as many at once
        as the same batch would be chosen for: until a message comes or a request ends."""
        if not isinstance(self.compute, Alone):
            (takes_ns,) = self._steps_ns(batch, 1)
            self.compute.start(takes_ns, partial(self._stepped, batch, 1, self.clock.now))
            return
        most = _AHEAD if self.batcher.repeats and not self._inbox else 1
        steps = min(most, *[work.left for work in batch.work])
        ends_ns = self.compute.ends_ns(self._steps_ns(batch, steps))
        self._series = series = _Series(batch, self.clock.now, ends_ns)
        self.clock.at(ends_ns[-1], partial(self._series_done, series, steps))

    def _steps_ns(self, batch: _Batch, steps: int) -> Iterator[float]:
        """Yield the durations of the next steps of a batch."""
        requests = len(batch.work)
        step_ns = self.latency.step_by_context(requests, batch.adapters, batch.merged)
        context = sum(each.context for each in batch.work)
        for done in range(steps):
            yield step_ns(context + done * requests)

    def _cut(self, series: _Series) -> None:
        """End a series with the step that runs now."""
        ends_ns = series.ends_ns
        steps = bisect_left(ends_ns, self.clock.now) + 1
        if steps < len(ends_ns):
            del ends_ns[steps:]
            self.clock.at(ends_ns[-1], partial(self._series_done, series, steps))

    def _series_done(self, series: _Series, steps: int) -> None:
        """End a series of ``steps``, unless it was cut and has fewer."""
        batch, began_ns, ends_ns = series
        if series is not self._series or steps != len(ends_ns):
            return
        assert isinstance(self.compute, Alone)
        self.compute.ran(self.clock.now - began_ns)
        self._series = None
        self.batcher.repeated(steps - 1)
        self.deciding.repeated(steps - 1)
        self._stepped(batch, steps, began_ns)

    def _stepped(self, batch: _Batch, steps: int, began_ns: int) -> None:
        if self._advance(batch, steps):
            self.stepped(batch.work, began_ns)
        self._turn()

    def _advance(self, batch: _Batch, steps: int) -> bool:
        """Give each request of a batch its tokens of so many iterations; return whether any has
        all."""
        now, ended = self.clock.now, False
        for each in batch.work:
            each.last_ns = now
            each.left -= steps
            if each.left <= 0:
                del self._queue[each.id], self.work[each.id]
                ended = True
        return ended
