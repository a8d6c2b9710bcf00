"""Events of instances and their artifacts: started, loaded, offloaded, ended."""

from __future__ import annotations

from . import events as ev
from .artifacts import BACKBONE, KERNELS
from .instance import ASLEEP, OFFLOADING, READY, STARTING, Instance
from .parts import Parts


class InstanceEvents:
    """Brings instances to their goals, and uses what they free."""

    def __init__(self, parts: Parts) -> None:
        self._state, self._provisioning = parts.state, parts.provisioning
        self._releasing, self._keeping = parts.releasing, parts.keeping
        self._adapters, self._dispatching = parts.adapters, parts.dispatching
        self._failing = parts.failing

    def started(self, event: ev.InstanceStarted, now: int) -> None:
        instance = self._state.instances.get(event.instance)
        if instance is None or not instance.asked or instance.started:
            return
        instance.started = True
        if instance.forked and instance.takes is None:
            instance.new_ns = now - instance.asked_ns
        instance.in_place |= instance.inherited
        self._advance(instance, now)

    def loaded(self, event: ev.ArtifactLoaded, now: int) -> None:
        instance = self._state.instances.get(event.instance)
        if instance is None or instance.phase is not STARTING:
            return
        if instance.loading is not event.artifact:
            return
        instance.in_place.add(event.artifact)
        instance.loading = None
        self._learn(instance, event, now - instance.loading_since_ns)
        if event.artifact is BACKBONE and not instance.copy.shared:
            self._state.copies[instance.copy].loaded = True
        self._advance(instance, now)

    def _learn(self, instance: Instance, event: ev.ArtifactLoaded, took_ns: int) -> None:
        """Learn from an artifact that ``instance`` loaded in ``took_ns``. What a takeover takes
        says nothing about a fork, and counts from when its process had started. A shared copy was
        there, and was only mapped."""
        artifact, mapped = event.artifact, event.artifact is BACKBONE and instance.copy.shared
        if not (mapped or event.prewarmed):
            self._state.estimates(instance.group.id).loaded(artifact, took_ns)
        if event.prewarmed and not instance.prewarmed:
            instance.prewarmed, instance.new_ns = True, 0
        if instance.new_ns is None or not (mapped or artifact is KERNELS):
            return
        instance.new_ns += took_ns
        if artifact is KERNELS and event.prewarmed:
            self._state.took(instance.group.backbone, takeover_ns=instance.new_ns)
        elif artifact is KERNELS and not instance.prewarmed:
            self._state.took(instance.group.backbone, fork_ns=instance.new_ns)

    def _advance(self, instance: Instance, now: int) -> None:
        if not self._provisioning.advance(instance, now):
            return
        awake = instance.to_serve
        self._state.enter(instance, READY if awake else ASLEEP)
        instance.prefilled_ns = 0
        self._failing.forgive(instance.group.id)
        if not instance.idle_since_ns:
            instance.idle_since_ns = now
        if awake and not instance.timer_set:
            self._state.members(instance.group.id).untimed[instance.id] = instance
        if awake and self._state.queue(instance.group.id):
            self._dispatching.serve(instance.group.id, now)
            self._dispatching.without_adapter(instance, now)
        self._dispatching.rest(instance, now)
        if awake and instance.group.places:
            self._adapters.fill(instance, now)

    def adapter_loaded(self, event: ev.AdapterLoaded, now: int) -> None:
        instance = self._adapters.loaded(event, now)
        if instance is not None:
            self._dispatching.may_run(instance)
            self._dispatching.dispatch(self._state.devices[instance.device], now)
            self._dispatching.request_adapters(instance.group, now)
            self._adapters.preload(instance, now)

    def adapter_failed(self, event: ev.AdapterFailed, now: int) -> None:
        """Fail the requests that wait for the adapter; those of other functions go on."""
        instance = self._adapters.failed(event)
        if instance is None:
            return
        self._failing.fail_waiting(instance.group.id, event.function, event.reason)
        if self._state.queue(instance.group.id):
            self._dispatching.request_adapters(instance.group, now)
        else:
            self._dispatching.nobody_waits(instance.group.id, now)
        self._adapters.preload(instance, now)

    def offloaded(self, event: ev.ArtifactsOffloaded, now: int) -> None:
        instance = self._state.instances.get(event.instance)
        if instance is None or instance.phase is not OFFLOADING:
            return
        self._releasing.offloaded(instance)
        self._keeping.unused(instance.copy, now)
        self._keeping.rest(instance, now)
        self._failing.freed(instance, now)

    def stopped(self, event: ev.InstanceStopped, now: int) -> None:
        instance = self._state.instances.get(event.instance)
        if instance is not None:
            self._failing.fail_running(instance, "it was stopped", now)
            self._failing.remove(instance, now)

    def died(self, event: ev.ProcessDied, now: int) -> None:
        instance = self._state.instances.get(event.instance)
        if instance is not None:
            self._failing.lost(instance, event.reason, now)
