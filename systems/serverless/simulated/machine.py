"""The machine that a simulated platform runs on, and what its parts share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from systems.simulation.clock import Clock
from systems.simulation.draws import Draws
from systems.simulation.hardware import Hardware
from systems.simulation.latency_model import LatencyModel
from systems.simulation.profile import Profile

from ..core import events as ev
from ..core.cluster_spec import ClusterSpec

_NS = 1e9


@dataclass(frozen=True)
class Machine:
    """``latency``: latency models by group. ``hardware``: by device. ``post`` lets the controller
    decide about an event."""

    cluster: ClusterSpec
    profile: Profile
    latency: Mapping[str, LatencyModel]
    clock: Clock
    draws: Draws
    hardware: Mapping[str, Hardware]
    post: Callable[[ev.Event], None]

    def after(self, seconds: float, then: Callable[[], None]) -> None:
        """Call ``then`` in ``seconds``."""
        self.clock.at(self.clock.now + round(seconds * _NS), then)

    def host_of(self, device: str) -> str:
        return self.cluster.devices[device].host

    @cached_property
    def hosts(self) -> Mapping[str, Hardware]:
        """The hardware of a device of each host, which has the host's cores."""
        return {spec.host: self.hardware[id_] for id_, spec in self.cluster.devices.items()}

    def latency_of(self, backbone: str) -> LatencyModel:
        """Return the latency model of the first group over ``backbone``."""
        groups = self.cluster.groups.values()
        return self.latency[next(group.id for group in groups if group.backbone == backbone)]
