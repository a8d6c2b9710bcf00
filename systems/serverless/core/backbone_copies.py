"""The backbone copies of all devices: their memory, their loading and their end."""

from __future__ import annotations

from . import actions as act
from .artifacts import CopyKey
from .backbone_sources import lose_source, source_of
from .devices import BackboneCopy, Device
from .policies import Policies
from .state import State


class BackboneCopies:
    """Reserves, loads and drops copies; appends the actions to ``out``."""

    def __init__(self, state: State, policies: Policies, out: list[act.Action]) -> None:
        self._state, self._policies, self._out = state, policies, out
        self._loads = 0

    def load_early(self, host_id: str, now: int) -> None:
        """Load each shared backbone before the first request, if settings say so and it fits, on a
        device of the host, devices in turn, or on every device."""
        settings, devices = self._state.cluster.settings, self._state.devices_of(host_id)
        backbones = self._state.cluster.backbones if settings.backbones_at_deployment else ()
        for number, backbone in enumerate(backbones):
            one = [devices[number % len(devices)]]
            for device in devices if settings.backbones_on_every_device else one:
                self._load_if_it_fits(backbone, device, now)

    def _load_if_it_fits(self, backbone: str, device: Device, now: int) -> None:
        key = self._policies.sharing.copy_for(backbone, device.spec.id, 0)
        if key.shared and self._state.cluster.copy_bytes(key) <= device.memory.free:
            self.load(self.add(key, None), now)

    def add(self, key: CopyKey, group: str | None) -> BackboneCopy:
        """Reserve the memory of a copy; ``group`` is its owner's if it is private."""
        size = self._state.cluster.copy_bytes(key)
        pool = size - self._state.cluster.backbones[key.backbone].bytes
        copy = BackboneCopy(key, size, pool, owner_group=None if key.shared else group)
        for holding, held in copy.holdings.items():
            self._state.devices[key.device].memory.resize(holding, held)
        self._state.add_copy(copy)
        return copy

    def load(self, copy: BackboneCopy, now: int) -> None:
        self._loads += 1
        source = source_of(copy.key, self._state)
        copy.load, copy.asked_ns = self._loads, now
        copy.source = source.key if source else None
        if copy.source is None:
            self._out.append(act.LoadBackbone(copy.key, self._loads))
        else:
            self._out.append(act.CopyBackbone(copy.key, self._loads, copy.source))

    def drop(self, copy: BackboneCopy) -> None:
        """Free a copy that no instance uses. A private copy was freed with its process."""
        if copy.key.shared and copy.load is not None:
            self._out.append(act.DropBackbone(copy.key))
        self.forget(copy)

    def forget(self, copy: BackboneCopy) -> None:
        lose_source(copy.key, self._state)
        for holding in copy.holdings:
            self._state.devices[copy.key.device].memory.resize(holding, 0)
        self._state.remove_copy(copy)
