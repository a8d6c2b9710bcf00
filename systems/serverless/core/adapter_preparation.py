"""Prepares adapters of groups that share instances on a host before an instance can load them."""

from __future__ import annotations

from collections.abc import Sequence

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
        """Prepare adapters on ``host`` before the first request."""
        for function in self._state.cluster.prepared_at_deployment():
            self._out.append(act.PrepareAdapter(host, function))

    def for_waiting(self, group: GroupSpec) -> None:
        """Prepare what waiting requests of ``group`` need while its first instances start or wake:
        each adapter for one of them, and no more for one than it has places. A host that parsed all
        adapters for each of its instances would let those that are needed first wait behind the
        others. Not before an instance's process is requested: parsers are forked from the same
        template."""
        members, queue = self._state.members(group.id), self._state.queue(group.id)
        if not group.places or members.ready:
            return
        asked = [each for _, each in sorted(members.serving.items()) if each.asked]
        new = [each for each in asked if each.prepared_until != queue.turn]
        prepared = {function for each in asked for function in each.prepared} if new else set()
        for instance in new:
            self._prepare(instance, queue.began_after(instance.prepared_until), prepared)
            instance.prepared_until = queue.turn

    def _prepare(self, instance: Instance, functions: Sequence[str], prepared: set[str]) -> None:
        """Prepare those of ``functions`` that are not among ``prepared``, and add them."""
        host = self._state.devices[instance.device].spec.host
        for function in functions:
            if len(instance.prepared) >= instance.group.places:
                return
            spec = self._state.cluster.functions[function]
            if function not in prepared and spec.adapter_bytes:
                prepared.add(function)
                instance.prepared.add(function)
                self._out.append(act.PrepareAdapter(host, function))
