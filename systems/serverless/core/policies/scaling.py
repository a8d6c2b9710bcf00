"""When a function gets another instance beside those it has."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..artifacts import PRECEDENCE
from ..policy import Policy
from ..state import Phase, State


class Scaling(Policy, ABC):
    @abstractmethod
    def wants_another(self, function: str, state: State, now_ns: int) -> bool:
        """Asked where every instance of ``function`` is starting or full and requests wait."""


class WaitedAsLong(Scaling):
    """One more, on a device that has none of the function's, for each full batch that waits beyond
    what the present ones will take; and one once the oldest request has waited as long as a start
    from nothing takes, while none is on its way.

    The second is the rule for renting skis: who waits as long as the alternative costs, and then
    takes it, loses at most as much again against who knows the future (Karlin et al. 1988)."""

    name = "waited-as-long-as-a-start"

    def wants_another(self, function: str, state: State, now_ns: int) -> bool:
        instances = state.of_function.get(function, {})
        queue = state.queue(function)
        if len(instances) >= len(state.devices):
            return False
        if len(queue) > state.cluster.settings.max_batch_size * len(instances):
            return True
        if any(instance.phase is Phase.STARTING for instance in instances.values()):
            return False
        delays = state.estimates(function).delay_ns
        return state.waited_ns(function, now_ns) > sum(delays[each] for each in PRECEDENCE)
