"""The life of a node's instances: started, loaded, stopped, ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, MutableMapping
from functools import partial

from systems.interface import Stage
from systems.runtime.children import GRACE_S, Child, kill, why
from systems.runtime.messages import Failed, Message, Started, Stop
from systems.runtime.processes import OnExit, OnMessage

from ..core import actions as act
from ..core import events as ev
from ..core.artifacts import Artifact, CopyKey
from . import messages as m
from .adapters.places import AdapterPlaces
from .instance_processes import InstanceProcesses
from .live_instance import LiveInstance
from .metering import Meter
from .nodes import Reports
from .offloading import Offloading
from .plan import Plan
from .prewarmed import PrewarmedProcesses
from .weights.copies import StoredCopy
from .weights.handle import SharedWeightsHandle

MOST_LOAD_S = 300.0
"""Seconds for an artifact that an instance has to load once it may have read its adapter, as for a
parser (:mod:`.adapters.parsing`). One that is taken over would else hold its device's memory for as
long as it answers pings: what starts is not evicted."""


class InstanceLifecycle:
    """Adds started instances to ``instances``, by instance id, and removes those that ended."""

    def __init__(
        self,
        plan: Plan,
        instances: MutableMapping[int, LiveInstance],
        copies: Mapping[CopyKey, StoredCopy],
        processes: InstanceProcesses,
        prewarmed: PrewarmedProcesses,
        places: AdapterPlaces,
        reports: Reports,
    ) -> None:
        self._plan, self._instances, self._copies = plan, instances, copies
        self._processes, self._prewarmed, self._places = processes, prewarmed, places
        self._reports = reports
        self._offloading = Offloading(plan, instances, copies, reports)
        self.offload = self._offloading.begin

    # -- starting ---------------------------------------------------------------------------

    def start(self, action: act.StartInstance) -> None:
        instance = LiveInstance(action.instance, action.group, action.device)
        self._instances[instance.id] = instance
        instance.timeline.begin(Stage.WARMING, time.monotonic_ns())
        container = self._vacated(action)
        try:
            instance.child = self._processes.start(
                instance, action, container, *self._heard(instance)
            )
        except OSError as error:
            instance.reason = str(error)
            self._ended(instance, None)
            return
        instance.send(self._processes.configuration(instance))

    def _heard(self, instance: LiveInstance) -> tuple[OnMessage, OnExit]:
        return partial(self._says, instance), partial(self._ended, instance)

    def _vacated(self, action: act.StartInstance) -> Child | None:
        """Remove the idle instance whose container is taken, and return its process; None if no
        container is taken, or it has ended."""
        old = None if action.takes is None else self._instances.pop(action.takes, None)
        if old is None or old.child is None:
            return None
        old.loaded()
        self.meter(old)
        self._reports.event(ev.InstanceStopped(old.id))
        return old.child

    # -- loading ----------------------------------------------------------------------------

    def load(self, action: act.LoadArtifact) -> None:
        instance = self._instances.get(action.instance)
        if instance is None or instance.child is None:
            return
        key = action.copy
        if key is not None and key.shared and key not in self._copies:
            # The copy ended while the action was on its way here from another machine.
            instance.reason = f"the shared backbone {key.backbone} on {key.device} is gone"
            kill(instance.child)
            return
        if action.artifact is Artifact.KERNELS:
            self._processes.take_over(instance, *self._heard(instance))
        instance.timeline.begin(Stage(action.artifact.value), time.monotonic_ns())
        if instance.meter is None and action.artifact is not Artifact.LIBRARIES:
            instance.meter = Meter.start(instance.child)
        told, fds = self._loading(instance, action)
        if action.artifact is Artifact.KERNELS and instance.copy is not None:
            self._prewarmed.tell_preparation(instance.child, instance.copy.device)
        instance.send(told, fds)
        if action.artifact is not Artifact.LIBRARIES and (key is None or key.shared):
            instance.loads(action.artifact, MOST_LOAD_S, partial(_overdue, instance))

    def _loading(
        self, instance: LiveInstance, action: act.LoadArtifact
    ) -> tuple[m.LoadArtifact, list[int]]:
        """Return what the instance is told, and the descriptors of a shared copy that it maps."""
        layout, weights_handle = None, SharedWeightsHandle()
        if action.copy is not None:
            instance.copy = action.copy
            layout = self._plan.layout(action.copy.backbone)
            if action.copy.shared:
                weights_handle = self._copies[action.copy].weights_handle
        told = m.LoadArtifact(action.artifact, layout, weights_handle.handle)
        return told, weights_handle.fds

    # -- what instances say -----------------------------------------------------------------

    def _says(self, instance: LiveInstance, message: Message, fds: list[int]) -> None:  # noqa: ARG002
        match message:
            case Started():
                instance.timeline.end(Stage.WARMING, time.monotonic_ns())
                self._reports.event(ev.InstanceStarted(instance.id))
            case m.ArtifactLoaded(artifact=artifact):
                self._loaded(instance, artifact)
            case m.AdapterHeld(function=function):
                self._places.held(instance, function)
            case m.AdapterRefused(function=function, reason=reason):
                self._places.refused(instance, function, reason)
            case m.Offloaded():
                self._offloading.done(instance)
            case Failed(reason=reason):
                instance.reason = reason
            case m.Prefilled() | m.Decoded() | m.Cancelled():
                self._reports.tokens(instance.id, message)

    def _loaded(self, instance: LiveInstance, artifact: Artifact) -> None:
        """Report an artifact. Prewarmed processes start once the last is there: earlier they would
        slow the instance."""
        instance.loaded(artifact)
        instance.timeline.end(Stage(artifact.value), time.monotonic_ns())
        prewarmed = self._processes.prewarmed(instance, artifact)
        self._reports.event(ev.ArtifactLoaded(instance.id, artifact, prewarmed))
        if artifact is Artifact.KERNELS and instance.copy is not None:
            self._prewarmed.refill(instance.copy)

    # -- the end ----------------------------------------------------------------------------

    def stop(self, action: act.StopInstance) -> None:
        instance = self._instances.get(action.instance)
        if instance is None or instance.child is None:
            return
        instance.stopping = True
        instance.child.channel.send(Stop())
        asyncio.get_running_loop().call_later(GRACE_S, kill, instance.child)

    def _ended(self, instance: LiveInstance, returncode: int | None) -> None:
        self.meter(instance)
        del self._instances[instance.id]
        instance.loaded()
        instance.offloaded()
        if instance.stopping:
            self._reports.event(ev.InstanceStopped(instance.id))
        else:
            verdict = instance.child.verdict if instance.child else ""
            reason = instance.reason or verdict or why(returncode)
            self._reports.event(ev.ProcessDied(instance.id, reason))

    def meter(self, instance: LiveInstance) -> None:
        """Report the processor time that counts for the instance's function."""
        if instance.child is not None and instance.meter is not None:
            metered = instance.meter.read(instance.child)
            if metered is not None:
                self._reports.metered(instance.id, metered)


def _overdue(instance: LiveInstance) -> None:
    """End an instance that does not get an artifact loaded."""
    if instance.child is not None and not instance.child.ended:
        instance.child.verdict = f"an artifact was not loaded after {MOST_LOAD_S:g} s"
        kill(instance.child)
