"""When a group gets an additional instance."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from ..artifacts import ADAPTER
from ..instance import Instance
from ..policy import Policy
from ..start_time import start_ns
from ..state import State


class Scaling(Policy, ABC):
    @abstractmethod
    def wants_another(self, group: str, state: State, now_ns: int) -> bool:
        """Return whether to look for one. Called if requests wait and all instances start or are
        full, and when the last batch that waited joined requests that an instance runs."""

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
    long as this start will take, with what its device holds now, and no instance is starting. A
    wait for an adapter counts once the group knows how long that takes: a new instance would load
    it too.

    The second is the ski-rental rule: waiting for as long as the alternative costs, then taking it,
    costs at most twice the optimum of one who knows the future (Karlin et al. 1988).

    Neither adds one to a device where it would be slowed down no less than the instances that the
    requests wait for: it would take its time from others and gain none."""

    name = "waited-as-long-as-a-start"

    def wants_another(self, group: str, state: State, now_ns: int) -> bool:
        members = state.members(group)
        if len(members.serving) >= len(state.devices):
            return False
        if _overflows(group, state):
            return True
        if members.starting:
            return False
        return self.lost_ns(group, state, now_ns) > _least_ns(group, state)

    def most_ns(self, group: str, state: State, now_ns: int) -> float:
        return math.inf if _overflows(group, state) else self.lost_ns(group, state, now_ns)

    def gains(self, instance: Instance, state: State, now_ns: int) -> bool:
        group = instance.group.id
        if _beside_its_own(instance, state) or not _less_contended(instance, state):
            return False
        return self.pays(instance, state, now_ns) or _overflows(group, state)

    def lost_ns(self, group: str, state: State, now_ns: int) -> float:
        """Return what requests of ``group`` have lost for lack of another instance."""
        return _known_wait_ns(group, state, now_ns)

    def pays(self, instance: Instance, state: State, now_ns: int) -> bool:
        """Return whether they have lost as much as the start of ``instance`` takes."""
        return self.lost_ns(instance.group.id, state, now_ns) > start_ns(instance, state, now_ns)


@dataclass(slots=True)
class _Delays:
    """What prompts cost the running requests of a group that they joined, while ``instances``
    served it and none of them was idle."""

    instances: int
    saved_ns: float = 0.0
    """The part of their delays, in sum, that one more instance would have saved."""


class DelayedAsLong(WaitedAsLong):
    """As waited-as-long-as-a-start, but counts what running requests lose too: they wait while the
    prompts of others are computed. Also adds an instance, on a device without any, once one more
    would have saved them in sum as long as its start takes, since one of the group's was last idle.
    So devices that are empty take part of a load that nothing waits for."""

    name = "delayed-as-long-as-a-start"

    def __init__(self) -> None:
        self._of_groups: dict[str, _Delays] = {}

    def lost_ns(self, group: str, state: State, now_ns: int) -> float:
        return max(super().lost_ns(group, state, now_ns), self._saved_ns(group, state))

    def pays(self, instance: Instance, state: State, now_ns: int) -> bool:
        group, takes_ns = instance.group.id, start_ns(instance, state, now_ns)
        if super().lost_ns(group, state, now_ns) > takes_ns:
            return True
        return self._saved_ns(group, state) > takes_ns and _alone(instance, state)

    def joins(self, instance: Instance, state: State) -> None:
        group, serving = instance.group.id, len(state.serving(instance.group.id))
        if serving >= len(state.devices):
            return
        delays = self._of_groups.get(group)
        if delays is None or delays.instances != serving:
            delays = self._of_groups[group] = _Delays(serving)
        delay_ns = state.estimates(group).law.fixed_ns * len(instance.running)
        delays.saved_ns += delay_ns / (serving + 1)

    def rested(self, instance: Instance, state: State, now_ns: int) -> None:  # noqa: ARG002
        if instance.idle:
            self._of_groups.pop(instance.group.id, None)

    def group_rested(self, group: str, state: State, now_ns: int) -> None:
        """Do nothing: each instance that is idle was noted when it became so."""

    def _saved_ns(self, group: str, state: State) -> float:
        delays = self._of_groups.get(group)
        if delays is None or delays.instances != len(state.serving(group)):
            return 0.0
        return delays.saved_ns


def _least_ns(group: str, state: State) -> float:
    """Return how long every start takes at least: it prepares kernels, or is a takeover."""
    learnt = state.estimates(group)
    prewarmed = state.prewarmed[state.cluster.groups[group].backbone]
    return learnt.takeover_ns if prewarmed else learnt.kernels_ns


def _known_wait_ns(group: str, state: State, now_ns: int) -> int:
    """Return how long the oldest request of ``group`` has waited; 0 if none waits, or if it may
    wait for an adapter to be put into a place, and none of the group ever was."""
    queue = state.queue(group)
    if not queue:
        return 0
    function = state.cluster.functions[queue.oldest.function]
    in_place = state.cluster.groups[group].places and function.adapter_bytes
    if in_place and not state.estimates(group).delay_ns[ADAPTER]:
        return 0
    return state.waited_ns(group, now_ns)


def _overflows(group: str, state: State) -> bool:
    """Return whether more requests wait than the instances that serve the group can run."""
    instances = len(state.serving(group))
    return len(state.queue(group)) > state.cluster.groups[group].batch_limit * instances


def _beside_its_own(instance: Instance, state: State) -> bool:
    """Return whether ``instance`` would be a new one on a device that has one of its group."""
    members = state.members(instance.group.id)
    return instance.id not in members.all and instance.device in members.on_device


def _alone(instance: Instance, state: State) -> bool:
    """Return whether the device of ``instance`` has no other instance."""
    return state.devices[instance.device].instances.keys() <= {instance.id}


def _less_contended(instance: Instance, state: State) -> bool:
    """Return whether ``instance`` would run at full speed, or slowed down less than each one of its
    group that serves."""
    device = state.devices[instance.device]
    slowdown = device.slowdown(device.at_work + 1)
    present = (state.devices[each.device] for each in state.serving(instance.group.id))
    return slowdown <= 1.0 or all(slowdown < each.slowdown(each.at_work) for each in present)
