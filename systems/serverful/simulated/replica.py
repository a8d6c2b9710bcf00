"""A replica in virtual time: runs the iterations of ``inhouse/replica.py``, with durations from the
profile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from systems.serverful.inhouse.batcher import Batcher, Choice, Queued
from systems.simulation.clock import Shared
from systems.simulation.decision_times import DecisionTimes
from systems.simulation.work import Work

from .latency import ReplicaLatencyModel

Message = Callable[[], float]
"""Processed between two iterations; returns the ns by which it delays the next one."""


@dataclass(slots=True, eq=False)
class Replica:
    """Callbacks: ``stepped`` gets the requests that received a token in an iteration and its start
    time; ``switched`` gets the adapter now merged and the start time of the switch."""

    compute: Shared
    latency: ReplicaLatencyModel
    batcher: Batcher
    slots: int
    deciding: DecisionTimes
    stepped: Callable[[Sequence[Work], int], None]
    switched: Callable[[str | None, int], None]
    now: Callable[[], int]
    work: dict[int, Work] = field(default_factory=dict)
    merged: str | None = None
    _queue: dict[int, Queued] = field(default_factory=dict)
    _inbox: deque[Message] = field(default_factory=deque)
    _busy: bool = False

    def tell(self, message: Message) -> None:
        """Queue a message for the time before the next iteration; process it now if idle."""
        self._inbox.append(message)
        if not self._busy:
            self._turn()

    # -- messages ---------------------------------------------------------------------------

    def request(self, work: Work, adapter: str | None, *, started: bool = False) -> float:
        self.work[work.id] = work
        self._queue[work.id] = Queued(work.id, adapter, started)
        return self.latency.move_ns(work.prompt_tokens + work.output_tokens - work.left) * started

    def hold(self) -> float:
        """Load an adapter."""
        return self.latency.hold_ns()

    def drop(self, adapter: str) -> float:
        """Remove an adapter, which must not be merged."""
        if adapter != self.merged:
            return 0.0
        self.merged = None
        return self.latency.switch_ns(adapter, None)

    def part(self, request: int, parted: Callable[[Work, bool], None]) -> float:
        """Hand a request to ``parted``, with whether it had started; nothing if it has ended."""
        queued = self._queue.pop(request, None)
        if queued is None:
            return 0.0
        work = self.work.pop(request)
        parted(work, queued.started)
        done = work.prompt_tokens + work.output_tokens - work.left
        return self.latency.move_ns(done) * queued.started

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
        self.compute.start(switch_ns, partial(self._switched, choice, self.now()))

    def _switched(self, choice: Choice, began_ns: int) -> None:
        self.switched(choice.merged, began_ns)
        self._run(choice)

    def _run(self, choice: Choice) -> None:
        """Prefill the chosen requests that have not started; if all have, decode one step."""
        chosen = [self._queue[id_] for id_ in choice.ids]
        fresh = [each for each in chosen if not each.started]
        batch = fresh or chosen
        adapters = {each.adapter for each in batch if each.adapter}
        merged = choice.merged is not None
        if fresh:
            tokens = [self.work[each.id].prompt_tokens for each in batch]
            takes_ns = self.latency.prefill_ns(tokens, adapters, merged)
        else:
            context = sum(self.work[each.id].context for each in batch)
            takes_ns = self.latency.step_ns(len(batch), adapters, merged, context)
        ids = [each.id for each in batch]
        self.compute.start(takes_ns, partial(self._stepped, ids, self.now()))

    def _stepped(self, ids: Sequence[int], began_ns: int) -> None:
        work = [self.work[id_] for id_ in ids]
        for each in work:
            if not each.first_ns:
                each.prefill_ns, each.first_ns = began_ns, self.now()
                each.left = each.output_tokens
                self._queue[each.id] = replace(self._queue[each.id], started=True)
            each.last_ns = self.now()
            each.left -= 1
            if each.left <= 0:
                del self._queue[each.id], self.work[each.id]
        self.stepped(work, began_ns)
        self._turn()
