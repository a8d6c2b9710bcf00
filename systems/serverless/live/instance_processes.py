"""Gives an instance its process: the container of an idle instance, a prewarmed process, a fork of
the template or a new interpreter."""

from __future__ import annotations

import time

from msgspec.structs import replace

from systems.interface import Stage
from systems.runtime.cards import Cards
from systems.runtime.children import Child
from systems.runtime.processes import OnExit, OnMessage, Processes
from systems.runtime.stages import Timeline

from ..core import actions as act
from ..core.artifacts import Artifact, CopyKey
from . import messages as m
from . import roles
from .live_instance import LiveInstance
from .plan import Plan
from .prewarmed import PrewarmedProcesses
from .takeover import take_over


class InstanceProcesses:
    """Takes processes from the pool ``prewarmed``, or starts them by ``processes``. Its callers
    pass what to call with each message of the process and with its end."""

    def __init__(
        self, plan: Plan, cards: Cards, processes: Processes, prewarmed: PrewarmedProcesses
    ) -> None:
        self._plan, self._cards = plan, cards
        self._processes, self._prewarmed = processes, prewarmed

    def configuration(self, instance: LiveInstance) -> m.Configure:
        told = self._plan.configuration(instance.group)
        return replace(told, card=self._cards.uuid(instance.device))

    def start(
        self,
        instance: LiveInstance,
        action: act.StartInstance,
        container: Child | None,
        on_message: OnMessage,
        on_exit: OnExit,
    ) -> Child:
        """Return a process that becomes ``instance`` when it is configured: ``container``, the
        process of an idle instance of another function, if there is one. Raise ``OSError`` if none
        can be started."""
        if container is not None:
            return _reuse(container, instance, on_message, on_exit)
        return self._take_prewarmed(instance, action, on_message, on_exit) or self._begin(
            instance, action, on_message, on_exit
        )

    def _take_prewarmed(
        self,
        instance: LiveInstance,
        action: act.StartInstance,
        on_message: OnMessage,
        on_exit: OnExit,
    ) -> Child | None:
        """Turn a prewarmed process into the instance; it sends ``Started`` a second time."""
        backbone = self._plan.cluster.groups[action.group].backbone
        prewarmed_process = self._prewarmed.take(backbone, action.device) if action.forked else None
        if prewarmed_process is None:
            return None
        instance.prewarmed = True
        instance.timeline = prewarmed_process.timeline
        instance.timeline.begin(Stage.WARMING, time.monotonic_ns())
        child = prewarmed_process.become(on_message, on_exit)
        child.channel.send(m.Begin())
        return child

    def _begin(
        self,
        instance: LiveInstance,
        action: act.StartInstance,
        on_message: OnMessage,
        on_exit: OnExit,
    ) -> Child:
        start = self._processes.fork if action.forked else self._processes.spawn
        return start(roles.INSTANCE, on_message, on_exit, self._cards.uuid(instance.device))

    def take_over(self, instance: LiveInstance, on_message: OnMessage, on_exit: OnExit) -> None:
        """Let a ready prewarmed process, if there is one, become an instance that has no engine."""
        key = instance.copy
        if instance.prewarmed or key is None:
            return
        prewarmed_process = self._prewarmed.replace(instance.group, key)
        if prewarmed_process is not None:
            instance.prewarmed = True
            told = self.configuration(instance)
            take_over(
                instance,
                prewarmed_process,
                told,
                on_message,
                on_exit,
                lambda: self._replaced_ended(key),
            )

    def prewarmed(self, instance: LiveInstance, artifact: Artifact) -> bool:
        """Return whether the process of ``instance`` had ``artifact`` from the warm pool: not an
        adapter, nor an engine of another shape."""
        if not instance.prewarmed or artifact is Artifact.ADAPTER:
            return False
        backbone = self._plan.cluster.groups[instance.group].backbone
        return artifact is not Artifact.KERNELS or self._prewarmed.fits(instance.group, backbone)

    def _replaced_ended(self, key: CopyKey) -> None:
        self._prewarmed.replaced_ended(key)
        self._prewarmed.refill(key)


def _reuse(
    container: Child, instance: LiveInstance, on_message: OnMessage, on_exit: OnExit
) -> Child:
    """Turn ``container`` into the instance's process. It releases what it has before it starts."""
    instance.timeline = Timeline.empty()  # its process was there: no warming
    container.on_message, container.on_exit = on_message, on_exit
    for message in (m.Vacate(), m.Begin()):
        container.channel.send(message)
    return container
