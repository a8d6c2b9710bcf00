"""How many bytes a device must have free for an instance to serve."""

from __future__ import annotations

from .artifacts import AWAKE, CopyKey, Residency
from .cluster_spec import GroupSpec
from .host_templates import HostTemplates
from .instance import Instance
from .instance_memory import InstanceMemory
from .state import State


class MemoryNeeds:
    """Counts the bytes still to be reserved on the device of an instance."""

    def __init__(self, state: State, memory: InstanceMemory, templates: HostTemplates) -> None:
        self._state, self._memory, self._templates = state, memory, templates

    def of(self, instance: Instance, goal: Residency) -> int:
        """Return the bytes for ``instance`` to have all of ``goal``."""
        own = sum(self._memory.shape(instance.group, goal))
        held = self._state.devices[instance.device].memory.held_by(instance.holdings)
        return own - held + self._beside(instance.copy, forked=instance.forked)

    def of_new(self, group: GroupSpec, copy: CopyKey, *, forked: bool) -> int:
        """Return the bytes for a new instance of ``group`` that maps ``copy`` to serve."""
        return sum(self._memory.shape(group, AWAKE)) + self._beside(copy, forked=forked)

    def _beside(self, key: CopyKey, *, forked: bool) -> int:
        """Return the bytes of the copy ``key``, unless it is there, and of the host's template."""
        absent = key not in self._state.copies
        size = self._state.cluster.copy_bytes(key) if absent else 0
        return size + (self._templates.need(self._state.devices[key.device]) if forked else 0)
