"""When a group gets an additional instance."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..artifacts import PRECEDENCE
from ..policy import Policy
from ..state import Phase, State


class Scaling(Policy, ABC):
    @abstractmethod
    def wants_another(self, group: str, state: State, now_ns: int) -> bool:
        """Return whether to add one. Called if requests wait and all instances start or are
        full."""


class WaitedAsLong(Scaling):
    """Adds an instance for each full batch that waits beyond what the present instances will take,
    on a device that has none of the group's. Also adds one if the oldest request has waited as
    long as a new start takes and no instance is starting.

    The second is the ski-rental rule: waiting for as long as the alternative costs, then taking it,
    costs at most twice the optimum of one who knows the future (Karlin et al. 1988)."""

    name = "waited-as-long-as-a-start"

    def wants_another(self, group: str, state: State, now_ns: int) -> bool:
        instances = state.of_group.get(group, {})
        queue = state.queue(group)
        if len(instances) >= len(state.devices):
            return False
        if len(queue) > state.cluster.groups[group].batch_limit * len(instances):
            return True
        if any(instance.phase is Phase.STARTING for instance in instances.values()):
            return False
        delays = state.estimates(group).delay_ns
        return state.waited_ns(group, now_ns) > sum(delays[each] for each in PRECEDENCE)
