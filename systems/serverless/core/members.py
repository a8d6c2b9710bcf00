"""The instances of a group by what they do, so that no decision has to search all of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from .instance import OFFLOADING, READY, STARTING, Instance


@dataclass(slots=True, eq=False)
class Members:
    """The instances of one group. Each index is keyed by the instance's id."""

    all: dict[int, Instance] = field(default_factory=dict)
    """In the order in which they were started."""
    serving: dict[int, Instance] = field(default_factory=dict)
    ready: dict[int, Instance] = field(default_factory=dict)
    """Those of ``serving`` that have started."""
    wakeable: dict[int, Instance] = field(default_factory=dict)
    starting: dict[int, Instance] = field(default_factory=dict)
    offloading: dict[int, Instance] = field(default_factory=dict)
    waiting: dict[int, Instance] = field(default_factory=dict)
    """Those that wait on their device for a batch, or for memory for one."""
    untimed: dict[int, Instance] = field(default_factory=dict)
    """Those that are ready and have no keep-alive timer."""
    on_device: dict[str, int] = field(default_factory=dict)
    """The number of instances by device."""

    def add(self, instance: Instance) -> None:
        self.all[instance.id] = instance
        self.on_device[instance.device] = self.on_device.get(instance.device, 0) + 1
        self._put_in(instance)

    def remove(self, instance: Instance) -> None:
        self._take_out(instance.id)
        self.untimed.pop(instance.id, None)
        del self.all[instance.id]
        self.on_device[instance.device] -= 1
        if not self.on_device[instance.device]:
            del self.on_device[instance.device]

    def sort(self, instance: Instance) -> None:
        """Put ``instance``, whose phase or goal has changed, into the indices where it belongs."""
        self._take_out(instance.id)
        self._put_in(instance)

    def _put_in(self, instance: Instance) -> None:
        if instance.serving:
            self.serving[instance.id] = instance
        if instance.wakeable:
            self.wakeable[instance.id] = instance
        if instance.phase is READY:
            self.ready[instance.id] = instance
        elif instance.phase is STARTING:
            self.starting[instance.id] = instance
        elif instance.phase is OFFLOADING:
            self.offloading[instance.id] = instance

    def _take_out(self, id_: int) -> None:
        for index in (self.serving, self.ready, self.wakeable, self.starting, self.offloading):
            index.pop(id_, None)
