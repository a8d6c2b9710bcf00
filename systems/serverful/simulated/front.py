"""The front of a backbone's replicas in virtual time: does what ``inhouse/front.py`` does with
placement, without sockets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from systems.interface import Decision, Span, Stage
from systems.serverful.inhouse.placement import Place, Placement
from systems.simulation.clock import Clock
from systems.simulation.timeouts import Timeouts
from systems.simulation.work import Work

from .holdings import Holdings
from .replica import Replica


@dataclass(slots=True, eq=False)
class Call:
    """The front's state of a request."""

    work: Work
    function: str
    adapter: str | None
    received_ns: int
    status: str = "waiting"
    replica: int | None = None
    batch_size: int | None = None

    @property
    def waits(self) -> bool:
        """Whether it may time out: it has not ended."""
        return self.status == "waiting"

    def spans(self) -> tuple[Span, ...]:
        """The stages of a completed request."""
        work = self.work
        stages = (
            Span(Stage.QUEUE, self.received_ns, work.prefill_ns),
            Span(Stage.PREFILL, work.prefill_ns, work.first_ns),
            Span(Stage.DECODE, work.first_ns, work.last_ns),
        )
        return tuple(span for span in stages if span.end_ns > span.start_ns)


class Front:
    """``interval_ns``: time between two checks for requests to migrate; None: never. ``ended`` is
    called when a request has ended."""

    def __init__(
        self,
        clock: Clock,
        placement: Placement,
        holdings: Holdings,
        *,
        timeout_ns: int,
        interval_ns: int | None,
        ended: Callable[[], None],
    ) -> None:
        self._ended = ended
        self._clock, self._placement, self.holdings = clock, placement, holdings
        self._interval_ns = interval_ns
        self._timeouts = Timeouts(clock, timeout_ns, self._time_out)
        self._replicas: Sequence[Replica] = ()
        self._waiting: dict[int, Call] = {}
        self._moving: dict[int, int] = {}
        self._keeping: dict[int, int] = {}
        """Request with a KV cache → the replica that holds it."""
        self._looking = False
        self.decisions: list[Decision] = []

    def connect(self, replicas: Sequence[Replica]) -> None:
        self._replicas = replicas

    def submit(self, call: Call) -> None:
        """Handle a request that arrives now."""
        self._waiting[call.work.id] = call
        self._timeouts.watch(call)
        place = self._placement.admit(call.work.id, call.adapter)
        self._bring(place)
        self._send(call, place.replica)
        self._look_later()

    def _bring(self, place: Place) -> None:
        replica = self._replicas[place.replica]
        if place.evicted is not None:
            replica.tell(partial(replica.drop, place.evicted))
        if place.brought is not None:
            replica.tell(replica.hold)
        change = (place.brought is not None) - (place.evicted is not None)
        self.holdings.adapters(place.replica, change)

    def _send(self, call: Call, replica: int) -> None:
        call.replica = replica
        there = self._replicas[replica]
        there.tell(partial(there.request, call.work, call.adapter))

    def _time_out(self, call: Call) -> None:
        """Time out a request. If it is migrating, it is released when its source has sent it."""
        request = call.work.id
        del self._waiting[request]
        call.status = "error_event" if call.work.first_ns else "timeout"
        self._ended()
        if request in self._moving:
            return
        replica = self._replicas[self._placement.replica_of(request)]
        replica.tell(partial(replica.cancel, request))
        self._let_go(call)

    def _let_go(self, call: Call) -> None:
        self._placement.finished(call.work.id)
        self._free(call.work)

    def _keep(self, work: Work, replica: int) -> None:
        """Reserve the KV cache of the request's full length at its prefill."""
        self._keeping[work.id] = replica
        self.holdings.request(replica, work.prompt_tokens + work.output_tokens, more=True)

    def _free(self, work: Work) -> None:
        replica = self._keeping.pop(work.id, None)
        if replica is not None:
            self.holdings.request(replica, work.prompt_tokens + work.output_tokens, more=False)

    # -- replicas ---------------------------------------------------------------------------

    def stepped(self, replica: int, work: Sequence[Work], began_ns: int) -> None:
        """Handle an iteration of a replica in which one of ``work`` had its first or last token."""
        for call in filter(None, (self._waiting.get(each.id) for each in work)):
            if call.work.prefill_ns == began_ns:
                call.batch_size = len(work)
                self._keep(call.work, replica)
            if call.work.left <= 0:
                self._finish(call)

    def _finish(self, call: Call) -> None:
        call.status = "ok"
        del self._waiting[call.work.id]
        self._moving.pop(call.work.id, None)
        self._let_go(call)
        self._ended()

    def switched(self, replica: int, merged: str | None, began_ns: int) -> None:
        numbers = {"replica": replica, "merged": merged, "took_ns": self._clock.now - began_ns}
        self.decisions.append(Decision(self._clock.now, "switch", numbers))

    # -- migration --------------------------------------------------------------------------

    def _look_later(self) -> None:
        """Schedule the next check at a multiple of the interval, unless no request waits."""
        if self._interval_ns is None or self._looking or not self._waiting:
            return
        self._looking = True
        due = (self._clock.now // self._interval_ns + 1) * self._interval_ns
        self._clock.at(due, self._look)

    def _look(self) -> None:
        self._looking = False
        self.rebalance()
        self._look_later()

    def rebalance(self) -> None:
        """Migrate requests where that pays off, with the adapters that they need."""
        if self._moving:
            return
        before = {id_: self._placement.replica_of(id_) for id_ in self._waiting}
        started = frozenset(id_ for id_, call in self._waiting.items() if call.work.first_ns)
        places = list(self._placement.rebalance(started))
        for place in places:
            self._moving[place.request] = place.replica
            numbers = {"source": before[place.request], "target": place.replica}
            self.decisions.append(Decision(self._clock.now, "migrate", numbers))
        for place in places:
            source, call = self._replicas[before[place.request]], self._waiting[place.request]
            source.tell(partial(source.part, place.request, partial(self._parted, call)))
        for place in places:  # only after all requests have left, as in the live system
            self._bring(place)

    def _parted(self, call: Call, work: Work) -> None:
        """Send the request to its target, unless it has timed out."""
        target = self._moving.pop(work.id)
        self._free(work)
        if call.status != "waiting":
            self._placement.finished(work.id)
            return
        if work.first_ns:
            self._keep(work, target)
        self._send(call, target)
