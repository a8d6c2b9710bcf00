"""Ends requests that cannot be served, and removes the instances that cannot serve them."""

from __future__ import annotations

from systems.request_limits import Limiter

from . import actions as act
from . import work
from .dispatching import Dispatching
from .instance import Instance, Phase
from .keep_alive_manager import KeepAliveManager
from .prompts_first import PromptsFirst
from .releasing import Releasing
from .state import State
from .waiting import Request


class Failing:
    """Counts failed starts by group; appends the actions to ``out``."""

    def __init__(
        self,
        state: State,
        limiter: Limiter,
        releasing: Releasing,
        keeping: KeepAliveManager,
        prompts_first: PromptsFirst,
        dispatching: Dispatching,
        out: list[act.Action],
    ) -> None:
        self._state, self._limiter, self._releasing = state, limiter, releasing
        self._keeping, self._dispatching, self._out = keeping, dispatching, out
        self._prompts_first = prompts_first
        self._failed_starts: dict[str, int] = {}

    def drop(self, request: Request) -> None:
        """Forget a request, which has ended."""
        del self._state.requests[request.id]
        self._limiter.end(request.function)

    def lost(self, instance: Instance, reason: str, now: int) -> None:
        """Remove an instance that ended on its own; fail its running requests only."""
        self.fail_running(instance, reason, now)
        if instance.phase is Phase.STARTING:
            self.blame(instance, reason, now)
        self.remove(instance, now)

    def fail_running(self, instance: Instance, reason: str, now: int) -> None:
        """Fail all requests that run on an instance."""
        for request in list(instance.running.values()):
            self.drop(request)
            self._state.end(instance, request, now)
            self._out.append(act.FailRequest(request.id, 502, f"instance lost: {reason}"))
        if instance.prefilling is not None:
            work.end_prefill(self._state, instance)
            self._prompts_first.ended(instance)
        work.settle(self._state, instance, now)

    def fail_waiting(self, group: str, function: str, reason: str) -> None:
        """Fail the requests of a function that wait for an instance of its group."""
        waiting = self._state.queue(group).of_function.get(function, {})
        self._cannot_start(list(waiting.values()), reason)

    def _cannot_start(self, requests: list[Request], reason: str) -> None:
        for request in requests:
            self._state.dequeue(request)
            self.drop(request)
            self._out.append(act.FailRequest(request.id, 503, f"cannot start: {reason}"))

    def blame(self, instance: Instance, reason: str, now: int) -> None:
        """Count a failed start. After too many, fail the requests that wait for an instance."""
        group = instance.group.id
        if self._may_retry(group):
            return
        self.forgive(group)
        self._cannot_start(list(self._state.queue(group)), reason)
        self._dispatching.nobody_waits(group, now)

    def remove(self, instance: Instance, now: int) -> None:
        """Remove an instance that has ended, and use the bytes that it held."""
        self._releasing.release(instance)
        self._state.remove_instance(instance)
        self._keeping.unused(instance.copy, now)
        self.freed(instance, now)

    def freed(self, instance: Instance, now: int) -> None:
        """Use the bytes that ``instance`` freed; its own group may be waiting for them."""
        if self._state.queue(instance.group.id):
            self._dispatching.serve(instance.group.id, now)
        self._dispatching.after_release(instance.device, now)

    def _may_retry(self, group: str) -> bool:
        """Count a failed start of ``group``; return whether another may be tried."""
        self._failed_starts[group] = self._failed_starts.get(group, 0) + 1
        return self._failed_starts[group] < self._state.cluster.settings.start_attempts

    def forgive(self, group: str) -> None:
        """Count no failed start of ``group`` any more."""
        self._failed_starts.pop(group, None)
