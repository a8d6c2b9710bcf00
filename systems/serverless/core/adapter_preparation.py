"""Prepares adapters of groups that share instances on a host before an instance can load them."""

from __future__ import annotations

from . import actions as act
from .cluster_spec import GroupSpec
from .instance import Instance
from .state import State


class AdapterPreparation:
    """Decides which adapters a host parses ahead; appends the actions to ``out``."""

    def __init__(self, state: State, out: list[act.Action]) -> None:
        self._state = state
        self._out = out

    def at_deployment(self, host: str) -> None:
        """Prepare the adapters on ``host`` in the order of their functions, as far as they fit the
        bytes that settings allow."""
        cluster = self._state.cluster
        left = cluster.settings.adapters_at_deployment_bytes
        if not left:
            return
        for function in cluster.functions.values():
            if cluster.groups[function.group].places and function.adapter_bytes:
                left -= function.adapter_bytes
                if left < 0:
                    return
                self._out.append(act.PrepareAdapter(host, function.id))

    def for_waiting(self, group: GroupSpec) -> None:
        """Prepare what waiting requests of ``group`` need while its first instance starts or wakes,
        each adapter once for each start. Not before the instance's process is requested: parsers
        are forked from the same template."""
        members = self._state.members(group.id)
        if not group.places or members.ready:
            return
        for _, instance in sorted(members.serving.items()):
            if instance.asked:
                self._prepare(instance)

    def _prepare(self, instance: Instance) -> None:
        queue = self._state.queue(instance.group.id)
        if instance.prepared_until == queue.turn:
            return
        host = self._state.devices[instance.device].spec.host
        for function in queue.began_after(instance.prepared_until):
            spec = self._state.cluster.functions[function]
            if function not in instance.prepared and spec.adapter_bytes:
                instance.prepared.add(function)
                self._out.append(act.PrepareAdapter(host, function))
        instance.prepared_until = queue.turn
