"""When a group gets an additional instance."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from ..artifacts import KERNELS
from ..instance import Instance
from ..policy import Policy
from ..start_time import start_ns
from ..state import State


class Scaling(Policy, ABC):
    @abstractmethod
    def wants_another(self, group: str, state: State, now_ns: int) -> bool:
        """Return whether to look for one. Called if requests wait and all instances start or are
        full."""

    def most_ns(self, group: str, state: State, now_ns: int) -> float:  # noqa: ARG002
        """Return from how long a start :meth:`gains` refuses it; by default, however long."""
        return math.inf

    def gains(self, instance: Instance, state: State, now_ns: int) -> bool:  # noqa: ARG002
        """Return whether to start ``instance``: the sleeping one that would be woken, or a new one
        on the device that placement chose. Called if another is wanted; by default, always."""
        return True


class WaitedAsLong(Scaling):
    """Adds an instance for each full batch that waits beyond what the present instances will take,
    on a device that has none of the group's. Also adds one if the oldest request has waited as
    long as this start will take, with what its device holds now, and no instance is starting.

    The second is the ski-rental rule: waiting for as long as the alternative costs, then taking it,
    costs at most twice the optimum of one who knows the future (Karlin et al. 1988).

    Neither adds one to a device where it would be slowed down no less than the instances that the
    requests wait for: it would take its time from others and gain none."""

    name = "waited-as-long-as-a-start"

    def wants_another(self, group: str, state: State, now_ns: int) -> bool:
        members = state.members(group)
        if len(members.all) >= len(state.devices):
            return False
        if _overflows(group, state):
            return True
        if members.starting:
            return False
        least_ns = state.estimates(group).delay_ns[KERNELS]  # every start prepares them
        return state.waited_ns(group, now_ns) > least_ns

    def most_ns(self, group: str, state: State, now_ns: int) -> float:
        return math.inf if _overflows(group, state) else state.waited_ns(group, now_ns)

    def gains(self, instance: Instance, state: State, now_ns: int) -> bool:
        group = instance.group.id
        if not _less_contended(instance, state):
            return False
        long = state.waited_ns(group, now_ns) > start_ns(instance, state, now_ns)
        return long or _overflows(group, state)


def _overflows(group: str, state: State) -> bool:
    """Return whether more requests wait than the group's instances can run."""
    instances = len(state.members(group).all)
    return len(state.queue(group)) > state.cluster.groups[group].batch_limit * instances


def _less_contended(instance: Instance, state: State) -> bool:
    """Return whether ``instance`` would run at full speed, or slowed down less than each one of its
    group that serves."""
    device = state.devices[instance.device]
    slowdown = device.slowdown(device.at_work + 1)
    present = (state.devices[each.device] for each in state.serving(instance.group.id))
    return slowdown <= 1.0 or all(slowdown < each.slowdown(each.at_work) for each in present)
