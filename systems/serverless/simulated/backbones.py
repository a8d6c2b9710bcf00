"""The shared copies of backbones in virtual time: read, copied from device to device, dropped."""

from __future__ import annotations

from functools import partial

from systems.interface import Stage
from systems.simulation.latency_model import LatencyModel

from ..core import actions as act
from ..core import events as ev
from ..core.artifacts import CopyKey
from .machine import Machine
from .prewarmed import PrewarmedProcesses
from .running import Copy


class BackboneCopies:
    """``prewarmed``: the processes that map the copies."""

    def __init__(self, machine: Machine, prewarmed: PrewarmedProcesses) -> None:
        self._machine, self._prewarmed = machine, prewarmed
        self.copies: dict[CopyKey, Copy] = {}

    def load(self, action: act.LoadBackbone) -> None:
        self._read(action, self._new(action.copy))

    def copy(self, action: act.CopyBackbone) -> None:
        """Copy from another device once that has the backbone, or read it if it never has."""
        copy, source = self._new(action.copy), self.copies.get(action.source)
        begin = partial(self._begin_copy, action, copy)
        if source is None or source.loaded:
            begin(source is not None)
        else:
            source.waiting.append(begin)

    def deploy(self, action: act.LoadBackbone | act.CopyBackbone) -> None:
        """Load a copy for a deployment, which waits for it and for its prewarmed processes."""
        self.copies[action.copy] = copy = Copy()
        self._machine.hardware[action.copy.device].files.cached(action.copy.backbone)
        latency = self._machine.latency_of(action.copy.backbone)
        from_device = isinstance(action, act.CopyBackbone)
        takes_s = deployment_ns(latency, from_device=from_device) / 1e9
        self._machine.after(takes_s, partial(self._deployed, action, copy))

    def _deployed(self, action: act.LoadBackbone | act.CopyBackbone, copy: Copy) -> None:
        copy.loaded = True
        self._machine.post(ev.BackboneLoaded(action.copy, action.load))
        self._prewarmed.fill(action.copy)

    def drop(self, action: act.DropBackbone) -> None:
        self._prewarmed.drop(action.copy)
        copy = self.copies.pop(action.copy)
        copy.dropped = True
        self._release(copy, there=False)

    def _begin_copy(self, action: act.CopyBackbone, copy: Copy, there: bool) -> None:
        if copy.dropped:
            return
        if there:
            work_ns = self._machine.latency_of(action.copy.backbone).peer_ns()
            loaded = partial(self._loaded, action, copy)
            self._machine.hardware[action.source.device].peers.start(work_ns, loaded)
        else:
            self._read(action, copy)

    def _new(self, key: CopyKey) -> Copy:
        copy = self.copies[key] = Copy()
        copy.timeline.begin(Stage.BACKBONE, self._machine.clock.now)
        return copy

    def _read(self, action: act.LoadBackbone | act.CopyBackbone, copy: Copy) -> None:
        name, hardware = action.copy.backbone, self._machine.hardware[action.copy.device]
        latency, loaded = self._machine.latency_of(name), partial(self._loaded, action, copy)
        hardware.files.read(name, latency, hardware.link, loaded)

    def _loaded(self, action: act.LoadBackbone | act.CopyBackbone, copy: Copy) -> None:
        if not copy.dropped:
            copy.timeline.end(Stage.BACKBONE, self._machine.clock.now)
            copy.loaded = True
            self._release(copy, there=True)
            self._machine.post(ev.BackboneLoaded(action.copy, action.load))

    def _release(self, copy: Copy, *, there: bool) -> None:
        """Begin what waits for ``copy``."""
        waiting, copy.waiting = copy.waiting, []
        for begin in waiting:
            begin(there)


def deployment_ns(latency: LatencyModel, *, from_device: bool) -> float:
    """Return how long a backbone takes at deployment: to be read, and, if it is copied from another
    device of the node, to be copied after that."""
    return latency.backbone_ns(cached=False, private=False) + from_device * latency.peer_ns()
