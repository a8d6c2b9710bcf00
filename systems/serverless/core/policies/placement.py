"""On which device a function's instance is started."""

from __future__ import annotations

from typing import Protocol

from ..state import Device, State
from ..world import FunctionSpec


class Placement(Protocol):
    @property
    def name(self) -> str: ...

    def choose(self, function: FunctionSpec, state: State) -> Device:
        """The device to start an instance of ``function`` on."""


class BackboneAffinity:
    """Where the backbone already is, else where most memory is free."""

    name = "backbone-affinity"

    def choose(self, function: FunctionSpec, state: State) -> Device:
        homes = {
            key.device for key in state.copies if key.shared and key.backbone == function.backbone
        }
        return max(
            state.devices.values(),
            key=lambda device: (device.spec.id in homes, device.memory.free),
        )
