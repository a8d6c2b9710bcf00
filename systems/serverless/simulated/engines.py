"""Engines that replay graphs in virtual time, and when idle ones prepare their shapes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from systems.simulation.clock import Clock
from systems.simulation.hardware import Hardware
from systems.simulation.preparer import Preparer
from systems.simulation.profile import Profile
from systems.simulation.shapes import Shapes

from ..core.artifacts import CopyKey
from ..core.cluster_spec import ClusterSpec, GroupSpec


class Engines:
    """As live, idle processes of a device prepare one after another while no instance works there,
    and slowly otherwise (``runtime/preparation_pace.py``)."""

    def __init__(
        self,
        clock: Clock,
        profile: Profile,
        hardware: Mapping[str, Hardware],
        cluster: ClusterSpec,
        *,
        mixed: bool,
    ) -> None:
        self._clock, self._profile, self._hardware = clock, profile, hardware
        self._cluster, self._mixed = cluster, mixed
        self._preparing: dict[str, list[Preparer]] = defaultdict(list)
        self._busy: set[str] = set()

    def prewarmed(self, copy: CopyKey) -> Preparer | None:
        """Build the engine of a prewarmed process: as for the largest group of its backbone."""
        groups = self._cluster.groups.values()
        over = [each for each in groups if each.backbone == copy.backbone]
        largest = max(over, key=lambda each: (each.places, each.batch_limit))
        return self.build(copy.device, largest, new_process=True)

    def build(self, device: str, group: GroupSpec, *, new_process: bool) -> Preparer | None:
        """Return what prepares the engine of an instance of ``group``; None: the profile's engine
        has no shapes. ``new_process``: no prompt ran in the process before."""
        numbers, profile = self._profile.graphs, self._profile
        if numbers is None:
            return None
        first_s = profile.first_batch_s.value if new_process else None
        context = self._cluster.settings.max_context_tokens
        shapes = Shapes(numbers, group.batch_limit, context, first_s, mixed=self._mixed)
        preparer = Preparer(self._clock, self._hardware[device].preparation, shapes)
        preparer.allow(device not in self._busy)
        self._preparing[device].append(preparer)
        return preparer

    def device_work(self, device: str, *, busy: bool) -> None:
        """Record whether instances run requests on ``device``."""
        (self._busy.add if busy else self._busy.discard)(device)
        self._preparing[device] = [each for each in self._preparing[device] if not each.complete]
        for preparer in self._preparing[device]:
            preparer.allow(not busy)
