"""The template of each host, and the memory that it and the loaders that stand by hold."""

from __future__ import annotations

from systems.interface import MemoryOwner

from . import actions as act
from .artifacts import CopyKey
from .devices import Device, Host, TemplatePhase
from .memory import Holding
from .state import State

TEMPLATE = Holding(MemoryOwner.CONTEXT, -1, None)
STANDBY = Holding(MemoryOwner.CONTEXT, -2, None)


def _on_host(device: Device) -> Holding:
    """Return the holding for the host memory of a template that ``device`` holds."""
    return Holding(MemoryOwner.HOST_TIER, CopyKey("", device.spec.id), None)


class HostTemplates:
    """Starts templates and reserves their memory; appends the actions to ``out``."""

    def __init__(self, state: State, out: list[act.Action]) -> None:
        self._state, self._out = state, out

    def start_early(self, host_id: str) -> None:
        """Start a host's template before the first request, if settings say so."""
        if self._state.cluster.settings.template_at_deployment:
            host = self._state.hosts[host_id]
            self.hold(host, self._state.devices_of(host_id)[0])
            self.start(host_id)

    def start(self, host_id: str) -> None:
        host = self._state.hosts[host_id]
        if host.template is TemplatePhase.ABSENT:
            host.template = TemplatePhase.STARTING
            self._out.append(act.StartTemplate(host_id))

    def hold(self, host: Host, device: Device) -> None:
        """Reserve the template's bytes, once per host: on the first device that is forked to, and
        in host memory. On each device, reserve those of the loader that stands by."""
        if host.template_device is not None:
            return
        settings = self._state.cluster.settings
        host.template_device = device.spec.id
        device.memory.resize(TEMPLATE, settings.template_bytes)
        for each in self._state.devices_of(device.spec.host):
            each.memory.resize(STANDBY, settings.standby_bytes)
        self._state.host_memory.resize(_on_host(device), settings.template_host_bytes)

    def need(self, device: Device) -> int:
        """Return the bytes of the template and of the loader that stands by, if a fork on
        ``device`` would be the first on its host, else 0."""
        if self._state.hosts[device.spec.host].template_device is not None:
            return 0
        settings = self._state.cluster.settings
        return settings.template_bytes + settings.standby_bytes - device.memory.held(STANDBY)

    def lose(self, host: Host) -> str | None:
        """Release the memory of a template that ended; return the device that held it, if any. What
        is reserved for loaders that stand by stays so for those of the next template: on a device
        that is not forked to, others could have taken it by then."""
        home, host.template_device = host.template_device, None
        if home is not None:
            device = self._state.devices[home]
            device.memory.resize(TEMPLATE, 0)
            self._state.host_memory.resize(_on_host(device), 0)
        host.template = TemplatePhase.ABSENT
        return home

    def leave(self, host_id: str) -> None:
        """Release all that the template of a host, which is gone, and its loaders held."""
        self.lose(self._state.hosts[host_id])
        for device in self._state.devices_of(host_id):
            device.memory.resize(STANDBY, 0)
