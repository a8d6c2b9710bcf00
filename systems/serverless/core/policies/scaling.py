"""When a function gets an additional instance."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..artifacts import PRECEDENCE
from ..policy import Policy
from ..state import Phase, State


class Scaling(Policy, ABC):
    @abstractmethod
    def wants_another(self, function: str, state: State, now_ns: int) -> bool:
        """Return whether to add one. Called if requests wait and all instances start or are
        full."""


class WaitedAsLong(Scaling):
    """Adds an instance for each full batch that waits beyond what the present instances will take,
    on a device that has none of the function's. Also adds one if the oldest request has waited as
    long as a new start takes and no instance is starting.

    The second is the ski-rental rule: waiting for as long as the alternative costs, then taking it,
    costs at most twice the optimum of one who knows the future (Karlin et al. 1988)."""

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
