"""What a live and a simulated platform share: events to the controller, its actions handed out, and
the part of the system trace that follows from its decisions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from systems.interface import Activity, Decision, MemoryStep

from .core import actions as act
from .core import events as ev
from .core.artifacts import Timer
from .core.cluster_spec import ClusterSpec
from .core.controller import Controller
from .core.policies import PolicySet
from .memory_trace import MemoryTrace


class TraceSink(Protocol):
    """Where a system trace is kept while it grows."""

    def memory(self, step: MemoryStep) -> None: ...

    def activity(self, activity: Activity) -> None: ...

    def decision(self, decision: Decision) -> None: ...


class PlatformBase(ABC):
    """One controller and its surroundings. ``sink`` receives memory steps, busy intervals and,
    with ``trace_decisions``, decisions."""

    def __init__(
        self, cluster: ClusterSpec, policies: PolicySet, sink: TraceSink, *, trace_decisions: bool
    ) -> None:
        explain = self._explain if trace_decisions else None
        self._memory = MemoryTrace(self._now, sink.memory)
        self.controller = Controller(cluster, policies, self._memory.note, explain)
        self._sink = sink
        self._events: deque[ev.Event] = deque()
        self._handling = False
        self._busy_instances: dict[int, Activity] = {}
        self._busy_on: Counter[str] = Counter()
        """The number of busy instances by device."""
        self._timers: dict[Timer, int] = {}
        """When each timer fires that is set."""
        self._do = self._carry_out()

    @abstractmethod
    def _carry_out(self) -> dict[type, Callable[[Any], None]]:
        """Return, for each type of action, what carries it out. It returns at once."""

    @abstractmethod
    def _device_work(self, device: str, *, busy: bool) -> None:
        """Take note that the first instance of ``device`` began to run requests, or the last
        ended."""

    @abstractmethod
    def _now(self) -> int:
        """Return the platform's time in ns."""

    @abstractmethod
    def _at(self, at_ns: int, then: Callable[[], None]) -> None:
        """Call ``then`` at the platform's time ``at_ns``, or soon after."""

    def _decide(self, event: ev.Event) -> list[act.Action]:
        return self.controller.handle(event, self._now())

    def post(self, event: ev.Event) -> None:
        """Let the controller decide about ``event``. Events that an action causes at once are
        handled after that action, never inside it."""
        self._events.append(event)
        if self._handling:
            return
        self._handling = True
        events, decide, do = self._events, self._decide, self._do
        try:
            while events:
                for action in decide(events.popleft()):
                    do[type(action)](action)
                self._memory.write()
        finally:
            self._handling = False

    def _set_timer(self, action: act.SetTimer) -> None:
        self._timers[action.timer] = action.at_ns
        self._at(action.at_ns, partial(self._fire, action.timer, action.at_ns))

    def _fire(self, timer: Timer, at_ns: int) -> None:
        """Let the controller know, unless the timer was set to another time or has fired."""
        if self._timers.get(timer) == at_ns:
            del self._timers[timer]
            self.post(ev.TimerFired(timer))

    # -- the system trace -------------------------------------------------------------------

    def _computed_together(self, action: act.RunBatch) -> Sequence[int]:
        """Return the requests of the whole batch, of which ``action`` may be a later part."""
        instance = self.controller.state.instances[action.instance]
        prefill = instance.prefilling
        if prefill is None or prefill.size == len(action.requests):
            return action.requests
        return [each.id for each in instance.running.values() if each.batch == action.batch]

    def _begin_activity(self, instance_id: int, threads: int | None = None) -> None:
        """An instance is given work; ``threads``: CPU threads of it, None if unknown."""
        if instance_id in self._busy_instances:
            return
        instance, now = self.controller.state.instances[instance_id], self._now()
        self._busy_instances[instance_id] = Activity(
            now, now, instance.device, str(instance_id), instance.group.id, threads
        )
        self._busy_on[instance.device] += 1
        if self._busy_on[instance.device] == 1:
            self._device_work(instance.device, busy=True)

    def _settle_activity(self, instance_id: int | None) -> None:
        """Close the busy interval of an instance if it no longer runs anything."""
        if instance_id is None or instance_id not in self._busy_instances:
            return
        instance = self.controller.state.instances.get(instance_id)
        if instance is None or not instance.running:
            activity = self._busy_instances.pop(instance_id)
            self._sink.activity(_ended(activity, self._now()))
            self._busy_on[activity.device] -= 1
            if not self._busy_on[activity.device]:
                self._device_work(activity.device, busy=False)

    def _end_activity(self) -> None:
        """Close the interval of every instance that is still busy."""
        now = self._now()
        for activity in self._busy_instances.values():
            self._sink.activity(_ended(activity, now))
        self._busy_instances.clear()

    def _explain(self, kind: str, numbers: dict[str, Any]) -> None:
        self._sink.decision(Decision(self._now(), kind, numbers))


def _ended(begun: Activity, end_ns: int) -> Activity:
    return Activity(
        begun.start_ns, end_ns, begun.device, begun.instance_id, begun.function_id, begun.threads
    )
